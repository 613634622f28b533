"""Bark (https://github.com/suno-ai/bark): text to speech, laughter and other sounds, in 24 kHz."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoTokenizer, BarkModel

from handler_kit.errors import LoadError
from handler_kit.hub_checkpoint import load_model, load_tokenizer
from handler_kit.seeded import seeded
from synthesis_kit.reading import LetterReader, Reader
from synthesis_kit.utterance import SpeechNetwork, Utterance

VOICES_FILE = "voices.safetensors"
RANDOM = "random"  # a speaker too: somebody, by the seed
PROMPTS = {"semantic_prompt": 1, "coarse_prompt": 2, "fine_prompt": 2}  # and their dimensions

Preset = dict[str, Tensor]


class BarkNetwork(SpeechNetwork):
    """`SpeechNetwork` with a BarkModel.

    One utterance after another: it draws its tokens from one generator, and a batch is as slow
    as its slowest member.
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
        self._most_tokens = self.longest  # no letter is more than one token

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> "BarkNetwork":
        """The checkpoint, and the voices of `voices.safetensors` where it is there: tensors
        ``<voice>.semantic_prompt`` and so on.  Raises LoadError."""
        bark = load_model(BarkModel, folder, device)
        tokenizer = load_tokenizer(AutoTokenizer, folder)
        return cls(bark, tokenizer, _presets(folder / VOICES_FILE, device))

    def reader(self) -> Reader:
        """All letters, and marks such as [laughs]."""
        return LetterReader(lambda text: text)

    def length(self, utterance: Utterance) -> int:
        """How many letters it has."""
        return len(utterance.symbols)

    def speak(self, utterances: Sequence[Utterance]) -> list[Tensor]:
        """Samples, float32 on the CPU; all tokens are drawn from the seed on."""
        return [self._speak(each) for each in utterances]

    def _speak(self, utterance: Utterance) -> Tensor:
        device = self._bark.device
        tokens = self._tokenizer(
            utterance.symbols,
            padding="max_length",
            truncation=True,
            max_length=self._most_tokens,
            add_special_tokens=False,
            return_attention_mask=True,
            return_tensors="pt",
        )
        with seeded(utterance.seed, device):
            samples: Tensor = self._bark.generate(
                tokens["input_ids"].to(device),
                attention_mask=tokens["attention_mask"].to(device),
                history_prompt=self._presets.get(utterance.speaker or RANDOM),
            )
        return samples.flatten().float().cpu()


def _presets(path: Path, device: torch.device) -> dict[str, Preset]:
    """Raises LoadError."""
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
            raise LoadError(f"{path.name}: {name} is no part of a voice")
        presets.setdefault(voice, {})[prompt] = tensor.long()
    for voice, prompts in presets.items():
        if len(prompts) != len(PROMPTS):
            raise LoadError(f"{path.name}: {voice} is not whole")
    return presets
