"""Bark (https://github.com/suno-ai/bark): text to speech, laughter and other sounds, in 24 kHz."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoTokenizer, BarkModel
from transformers.models.bark.generation_configuration_bark import (
    BarkCoarseGenerationConfig,
    BarkFineGenerationConfig,
    BarkSemanticGenerationConfig,
)

from handler_kit.errors import LoadError
from handler_kit.hub_checkpoint import load_model, load_tokenizer
from handler_kit.seeded import seeded
from synthesis_kit.text.reading import LetterReader, SymbolReader
from synthesis_kit.utterance import SynthesisNetwork, Utterance

VOICES_FILE = "voices.safetensors"
RANDOM = "random"  # also a speaker: a random one, drawn by the seed
FIRST_WORDS = "Hello. This is how I sound."  # the text with which a random voice is drawn
MAX_DRAWN = 16  # voices that are kept
PROMPTS = {"semantic_prompt": 1, "coarse_prompt": 2, "fine_prompt": 2}  # and their dimensions

Preset = dict[str, Tensor]


class BarkNetwork(SynthesisNetwork):
    """`SynthesisNetwork` with a BarkModel.

    It speaks one utterance after another: it draws its tokens from one generator, and a batch is as
    slow as its slowest member.
    """

    by_steps = True
    job_seconds = 5.0

    def __init__(self, bark: Any, tokenizer: Any, presets: dict[str, Preset]) -> None:
        self.model = bark
        self.sample_rate = int(bark.generation_config.sample_rate)
        self.speakers = frozenset(presets) | {RANDOM}
        self.longest = int(bark.generation_config.semantic_config["max_input_semantic_length"])
        self._bark = bark
        self._tokenizer = tokenizer
        self._presets = presets
        self._drawn: dict[int, Preset] = {}  # by their seeds, the latest last
        self._most_tokens = self.longest  # no letter is more than one token

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> "BarkNetwork":
        """Load the checkpoint, and its voices where there is a `voices.safetensors`.

        That file holds tensors ``<voice>.semantic_prompt``, ``.coarse_prompt`` and
        ``.fine_prompt``. Raises LoadError.
        """
        bark = load_model(BarkModel, folder, device)
        tokenizer = load_tokenizer(AutoTokenizer, folder)
        return cls(bark, tokenizer, _presets(folder / VOICES_FILE, device))

    def reader(self) -> SymbolReader:
        """Return a reader of all letters, and of marks such as [laughs]."""
        return LetterReader(lambda text: text)

    def length(self, utterance: Utterance) -> int:
        """Return how many letters it has."""
        return len(utterance.symbols)

    def speak(self, utterances: Sequence[Utterance]) -> list[Tensor]:
        """Return samples, float32 on the CPU; all tokens are drawn from the utterance's seed."""
        return [self._speak(each) for each in utterances]

    def _speak(self, utterance: Utterance) -> Tensor:
        device = self._bark.device
        speaker = utterance.speaker or RANDOM
        preset = self._presets.get(speaker) or self._somebody(utterance.seed)
        tokens = self._tokens(utterance.symbols)
        with seeded(utterance.seed, device):
            samples: Tensor = self._bark.generate(
                tokens["input_ids"].to(device),
                attention_mask=tokens["attention_mask"].to(device),
                history_prompt=preset,
            )
        return samples.flatten().float().cpu()

    def _tokens(self, text: str) -> Any:
        return self._tokenizer(
            text,
            padding="max_length",
            truncation=True,
            max_length=self._most_tokens,
            add_special_tokens=False,
            return_attention_mask=True,
            return_tensors="pt",
        )

    def _somebody(self, seed: int) -> Preset:
        """Return the voice that *seed* draws.

        Without a voice the network makes one up for every sentence.  So it says something first,
        and all sentences go on from there.
        """
        preset = self._drawn.pop(seed, None) or self._draw(seed)
        self._drawn[seed] = preset
        if len(self._drawn) > MAX_DRAWN:
            del self._drawn[next(iter(self._drawn))]
        return preset

    def _draw(self, seed: int) -> Preset:
        bark, device = self._bark, self._bark.device
        said = bark.generation_config
        semantic_kind: Any = BarkSemanticGenerationConfig
        fine_kind: Any = BarkFineGenerationConfig
        semantic_config = semantic_kind(**said.semantic_config)
        fine_config = fine_kind(**said.fine_acoustics_config)
        coarse_config = BarkCoarseGenerationConfig(**said.coarse_acoustics_config)
        common: dict[str, Any] = {
            "history_prompt": None,
            "semantic_generation_config": semantic_config,
        }
        acoustic = {
            **common,
            "coarse_generation_config": coarse_config,
            "codebook_size": said.codebook_size,
        }
        tokens = self._tokens(FIRST_WORDS)
        with seeded(seed, device):
            semantic = bark.semantic.generate(
                tokens["input_ids"].to(device),
                attention_mask=tokens["attention_mask"].to(device),
                **common,
            )
            coarse = bark.coarse_acoustics.generate(semantic, **acoustic)
            fine = bark.fine_acoustics.generate(
                coarse,
                fine_generation_config=fine_config,
                **acoustic,
            )
        return {
            "semantic_prompt": semantic[0],
            "coarse_prompt": fine[0, : coarse_config.n_coarse_codebooks],
            "fine_prompt": fine[0],
        }


def _presets(path: Path, device: torch.device) -> dict[str, Preset]:
    """Return the prompts of each voice in *path*, if there is such a file.  Raises LoadError."""
    if not path.exists():
        return {}
    try:
        tensors = load_file(path, device=str(device))
    except (OSError, SafetensorError) as exc:
        raise LoadError(f"cannot load {path.name}: {exc}") from exc
    presets: dict[str, Preset] = {}
    for name, tensor in tensors.items():
        voice, _, prompt = name.rpartition(".")
        if PROMPTS.get(prompt) != tensor.dim():
            raise LoadError(f"{path.name}: {name} is not a prompt of a voice")
        presets.setdefault(voice, {})[prompt] = tensor.long()
    for voice, prompts in presets.items():
        if len(prompts) != len(PROMPTS):
            raise LoadError(f"{path.name}: {voice} lacks one of its three prompts")
    return presets
