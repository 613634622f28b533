"""Tacotron 2 and its vocoder as a network that speaks: English letters, 22.05 kHz."""

import string
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Generator, Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import SpeechT5HifiGan

from handler_kit.errors import LoadError
from handler_kit.hub_checkpoint import load_model
from synthesis_kit.networks.tacotron2_modules import Tacotron2, Tacotron2Config
from synthesis_kit.text.reading import LetterReader, SymbolReader
from synthesis_kit.utterance import SynthesisNetwork, Utterance

# tacotron2/text/symbols.py; phonemes follow, which none of its cleaners writes
SYMBOLS = "_-!'(),.:;? " + string.ascii_uppercase + string.ascii_lowercase
SAID = frozenset(SYMBOLS) - {"_"}
PRENET_LAYERS = 2


class Tacotron2Network(SynthesisNetwork):
    """`SynthesisNetwork` with Tacotron 2; the vocoder is a HiFi-GAN in `vocoder/`.

    Encoder and decoder take a batch; the postnet and the vocoder take one utterance after another.
    """

    job_seconds = 5.0

    def __init__(self, tacotron: Tacotron2, vocoder: SpeechT5HifiGan) -> None:
        self.model = nn.ModuleList([tacotron, vocoder])
        self.sample_rate = int(vocoder.config.sampling_rate)
        self._tacotron = tacotron
        self._vocoder = vocoder
        self._numbers = {symbol: number for number, symbol in enumerate(SYMBOLS)}

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> "Tacotron2Network":
        """Load `config.json`, `model.safetensors` and `vocoder/`.  Raises LoadError."""
        try:
            raw = (folder / "config.json").read_bytes()
            config = msgspec.json.decode(raw, type=Tacotron2Config)
            with torch.device("meta"):
                tacotron = Tacotron2(config)
            tacotron.load_state_dict(load_file(folder / "model.safetensors"), assign=True)
        except (OSError, RuntimeError, SafetensorError, msgspec.DecodeError) as exc:
            raise LoadError(f"cannot load Tacotron 2: {exc}") from exc
        vocoder = load_model(SpeechT5HifiGan, folder / "vocoder", device)
        if vocoder.config.model_in_dim != config.n_mel_channels:
            raise LoadError("vocoder: its spectrograms have another number of mel bins")
        return cls(tacotron.eval().requires_grad_(requires_grad=False).to(device), vocoder)

    def reader(self) -> SymbolReader:
        """Return a reader of letters without accents."""
        return LetterReader(_letters)

    def length(self, utterance: Utterance) -> int:
        """Return how many letters it has."""
        return len(utterance.symbols)

    def speak(self, utterances: Sequence[Utterance]) -> list[Tensor]:
        """Return samples, float32 on the CPU; what is dropped is drawn from each one's own seed."""
        return [self._samples(each) for each in self._spectrograms(utterances)]

    def _spectrograms(self, utterances: Sequence[Utterance]) -> list[Tensor]:
        """Return [frames, mels] of each utterance, up to where the gate closes."""
        tacotron, config = self._tacotron, self._tacotron.config
        device = tacotron.embedding.weight.device
        rows = [
            torch.tensor([self._numbers[each] for each in utterance.symbols])
            for utterance in utterances
        ]
        lengths = torch.tensor([len(row) for row in rows])
        mask = pad_sequence([torch.ones(len(row)) for row in rows], batch_first=True).to(device)
        symbols = pad_sequence(rows, batch_first=True).to(device)
        embedded = tacotron.embedding(symbols).transpose(1, 2)
        memory = tacotron.encoder(embedded, lengths, mask)
        keys = tacotron.decoder.attention_layer.memory_layer(memory)
        draws = [Generator().manual_seed(each.seed) for each in utterances]
        state = tacotron.decoder.start(memory)
        frames: list[Tensor] = []
        ends: dict[int, int] = {}
        while len(ends) < len(rows) and len(frames) < config.max_decoder_steps:
            kept = _kept(draws, config.prenet_dim).to(device)
            state, last = tacotron.decoder(state, memory, keys, mask, kept)
            frames.append(state.frame)
            for row in (last > config.gate_threshold).nonzero().flatten().tolist():
                ends.setdefault(row, len(frames))
        together = torch.stack(frames, 1)
        return [together[row, : ends.get(row, len(frames))] for row in range(len(rows))]

    def _samples(self, spectrogram: Tensor) -> Tensor:
        mels = spectrogram.T[None]
        fine = (mels + self._tacotron.postnet(mels)).transpose(1, 2)
        samples: Tensor = self._vocoder(fine)[0]
        return samples.cpu()


def _kept(draws: Sequence[Generator], width: int) -> Tensor:
    """Return [layers, n, width]: 2 for what the prenet keeps, 0 for the half that it drops."""
    drawn = [torch.rand(PRENET_LAYERS, width, generator=draw) for draw in draws]
    return 2.0 * (torch.stack(drawn, 1) < 0.5)


def _letters(text: str) -> str:
    """Return *text* as their cleaners leave it: ASCII, lower case; numbers are words already."""
    plain = unicodedata.normalize("NFKD", text).replace("’", "'").lower()
    return " ".join("".join(letter for letter in plain if letter in SAID).split())
