"""SpeechT5 (https://arxiv.org/abs/2110.07205): letters to speech in anybody's voice."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import SpeechT5ForTextToSpeech, SpeechT5HifiGan, SpeechT5Tokenizer

from handler_kit.errors import InvalidInput, LoadError
from handler_kit.hub_checkpoint import load_model, load_tokenizer
from handler_kit.seeded import seeded
from synthesis_kit.cloning import Embedding
from synthesis_kit.networks.xvector import XVectorNetwork
from synthesis_kit.text.reading import LetterReader, SymbolReader
from synthesis_kit.utterance import SynthesisNetwork, Utterance

VOICES_FILE = "speakers.safetensors"
EXTRA_TOKENS = 2  # the blank that SentencePiece puts in front, and the end


class SpeakerSpace:
    """`Cloning` for SpeechT5: any vector of *size* numbers is a voice."""

    def __init__(self, size: int, network: XVectorNetwork | None) -> None:
        self.size = size
        self._network = network

    @property
    def hears(self) -> bool:
        """Whether the checkpoint came with an x-vector network."""
        return self._network is not None

    def heard(self, wav: bytes) -> Embedding:
        """Return the voice in a WAV file.  Raises InvalidInput."""
        assert self._network is not None, "asked for only where `hears`"
        return self._network.embedding(wav)


class SpeechT5Network(SynthesisNetwork):
    """`SynthesisNetwork` with SpeechT5 and its HiFi-GAN.

    It speaks one utterance after another: in a batch, transformers drops the same units for all
    members and runs the decoder's first layers over everybody's padding.
    """

    by_steps = True
    job_seconds = 5.0

    def __init__(
        self, speaker: Any, vocoder: Any, tokenizer: Any, voices: dict[str, Tensor]
    ) -> None:
        self.model = nn.ModuleList([speaker, vocoder])
        self.sample_rate = int(vocoder.config.sampling_rate)
        self.speakers = frozenset(voices)
        self._most_tokens = int(speaker.config.max_text_positions)
        self.longest = self._most_tokens - EXTRA_TOKENS
        self._speaker = speaker
        self._vocoder = vocoder
        self._tokenizer = tokenizer
        self._voices = voices
        self._known: dict[str, bool] = {}

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> "SpeechT5Network":
        """Load the checkpoint with `vocoder/` and, where they exist, its voices and `xvector/`.

        `speakers.safetensors` holds a tensor [size] per voice.  Raises LoadError.
        """
        speaker = load_model(SpeechT5ForTextToSpeech, folder, device)
        vocoder = load_model(SpeechT5HifiGan, folder / "vocoder", device)
        size = int(speaker.config.speaker_embedding_dim)
        voices = _voices(folder / VOICES_FILE, size, device)
        wrong = [name for name, voice in voices.items() if voice.shape != (size,)]
        if wrong:
            raise LoadError(f"{VOICES_FILE}: {wrong[0]} must have {size} numbers")
        network = cls(speaker, vocoder, load_tokenizer(SpeechT5Tokenizer, folder), voices)
        hearing = folder / "xvector"
        xvectors = XVectorNetwork(hearing, size, device) if hearing.is_dir() else None
        network.cloning = SpeakerSpace(size, xvectors)
        return network

    def reader(self) -> SymbolReader:
        """Return a reader of the letters that the tokenizer knows."""
        return LetterReader(lambda text: "".join(filter(self._knows, text)))

    def length(self, utterance: Utterance) -> int:
        """Return how many letters it has, with the tokens around them."""
        return len(utterance.symbols) + EXTRA_TOKENS

    def speak(self, utterances: Sequence[Utterance]) -> list[Tensor]:
        """Return samples, float32 on the CPU; what the decoder drops is drawn from the seed."""
        return [self._speak(each) for each in utterances]

    def _speak(self, utterance: Utterance) -> Tensor:
        device = self._speaker.device
        tokens = self._tokenizer(utterance.symbols, return_tensors="pt")["input_ids"]
        if tokens.shape[1] > self._most_tokens:
            raise InvalidInput("The text has a word that is too long for this voice")
        if utterance.embedding is not None:
            voice = torch.tensor(utterance.embedding, device=device)
        else:
            voice = self._voices[utterance.speaker or ""].float()
        with seeded(utterance.seed, device):
            samples: Tensor = self._speaker.generate_speech(
                tokens.to(device), voice[None], vocoder=self._vocoder
            )
        return samples.cpu()

    def _knows(self, letter: str) -> bool:
        if letter not in self._known:
            ids = self._tokenizer.encode(letter, add_special_tokens=False)
            self._known[letter] = self._tokenizer.unk_token_id not in ids
        return self._known[letter]


def _voices(file: Path, size: int, device: torch.device) -> dict[str, Tensor]:
    """Return the speakers by name; without the file, one of zeros as in transformers' example."""
    if not file.exists():
        return {"default": torch.zeros(size, device=device)}
    try:
        return load_file(file, device=str(device))
    except (OSError, SafetensorError) as exc:
        raise LoadError(f"cannot load {VOICES_FILE}: {exc}") from exc
