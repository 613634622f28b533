"""A Piper voice as a network that speaks: batches of utterances, each with its own tempo."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Generator, Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import VitsConfig

from handler_kit.errors import LoadError
from handler_kit.threads import each_on_one_thread
from synthesis_kit.networks.channels_last import lay_channels_last
from synthesis_kit.networks.espeak_symbols import espeak_symbols
from synthesis_kit.networks.piper_modules import PiperVits
from synthesis_kit.networks.time_windows import in_windows
from synthesis_kit.networks.vits_batch import mask_of, padded, stretched
from synthesis_kit.text.reading import PhonemeReader, SymbolReader
from synthesis_kit.utterance import SynthesisNetwork, Utterance

PAD, FIRST, LAST = "_", "^", "$"  # Piper's symbols between all others, before and after them


class PiperNetwork(SynthesisNetwork):
    """`SynthesisNetwork` with the weights of one Piper voice."""

    controls = frozenset({"speed"})

    def __init__(self, voice: PiperVits, symbols: dict[str, int]) -> None:
        self.model: nn.Module = voice
        self.sample_rate: int = voice.config.sampling_rate
        self._voice = voice
        self._symbols = symbols
        self.speaks_side_by_side = voice.device.type == "cpu"
        if self.speaks_side_by_side:
            self.precisions = frozenset({"bf16"})

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> "PiperNetwork":
        """Load `config.json`, `model.safetensors` and `vocab.json`.  Raises LoadError."""
        try:
            symbols = msgspec.json.decode((folder / "vocab.json").read_bytes(), type=dict[str, int])
            config = VitsConfig.from_pretrained(folder, local_files_only=True)
            with torch.device("meta"):
                voice = PiperVits(config)
            voice.load_state_dict(load_file(folder / "model.safetensors"), assign=True)
        except (
            OSError,
            AttributeError,  # a VITS of another kind has other parts
            ValueError,
            RuntimeError,
            SafetensorError,
            msgspec.DecodeError,
        ) as exc:
            raise LoadError(f"cannot load the Piper voice: {exc}") from exc
        if {PAD, FIRST, LAST} - symbols.keys():
            raise LoadError("vocab.json does not belong to a Piper voice: it lacks _, ^ or $")
        nn.Module.to(voice, device).requires_grad_(requires_grad=False)
        voice.eval()  # type: ignore[no-untyped-call]
        if device.type == "cpu":
            lay_channels_last(voice.decoder)
        return cls(voice, symbols)

    def reader(self) -> SymbolReader:
        """Return a reader of phonemes."""
        return PhonemeReader()

    def length(self, utterance: Utterance) -> int:
        """Return how many symbols it has, with the pads between them."""
        return len(self.symbol_ids(utterance))

    def speak(self, utterances: Sequence[Utterance]) -> list[Tensor]:
        """Return samples, float32 on the CPU, one row per utterance.

        Each draws its noise from its own seed, on the CPU, and has its own tempo.
        """
        if self.speaks_side_by_side:
            return self._speak_in_windows(utterances)
        voice = self._voice
        latents, frame_counts = self._latents(utterances)
        mask = mask_of(frame_counts, voice.device)
        samples = voice.decoder(voice.spectrograms(latents, mask), mask).cpu()
        return [
            row[: count * voice.decoder.hop].clone()
            for row, count in zip(samples, frame_counts, strict=True)
        ]

    def _speak_in_windows(self, utterances: Sequence[Utterance]) -> list[Tensor]:
        """Return their samples; all threads share the work, even that for a single utterance."""
        alone = each_on_one_thread(self._latents, [[each] for each in utterances])
        rows = [latents[0] for latents, _ in alone]
        voice = self._voice
        for step in reversed(range(voice.config.prior_encoder_num_flows)):
            rows = in_windows(partial(voice.flow_step, step), rows, voice.flow_reach)
        decoder = voice.decoder_in_use
        return in_windows(decoder, rows, decoder.reach, decoder.hop)

    def _latents(self, utterances: Sequence[Utterance]) -> tuple[Tensor, list[int]]:
        """Return drawn latents [n, flow size, frames], and how many frames each has."""
        voice, device = self._voice, self._voice.device
        draws = [Generator().manual_seed(each.seed) for each in utterances]
        symbols = [self.symbol_ids(each) for each in utterances]
        lengths = [len(each) for each in symbols]
        mask = mask_of(lengths, device)
        prior = voice.prior(padded(symbols, device), mask)
        noise = _noise(2, lengths, draws).to(device)
        predicted = voice.durations(prior.hidden, mask, noise)
        tempo = [each.prosody.duration / voice.speaking_rate for each in utterances]
        frames = [
            torch.ceil(row[:length] * factor).long()
            for row, length, factor in zip(predicted, lengths, tempo, strict=True)
        ]
        frame_counts = [int(each.sum()) for each in frames]
        latents = voice.latents(
            stretched(prior.means, frames),
            stretched(prior.log_deviations, frames),
            _noise(voice.config.flow_size, frame_counts, draws).to(device),
        )
        return latents, frame_counts

    def symbol_ids(self, utterance: Utterance) -> Tensor:
        """Return the numbers of the utterance's symbols, and of the pads between them.

        A symbol that the voice does not know has none.
        """
        pad = self._symbols[PAD]
        ids = [self._symbols[FIRST], pad]
        for symbol in espeak_symbols(utterance.symbols):
            if symbol in self._symbols:
                ids += [self._symbols[symbol], pad]
        return torch.tensor([*ids, self._symbols[LAST]])


def _noise(channels: int, lengths: Sequence[int], draws: Sequence[Generator]) -> Tensor:
    """Return normal noise [n, channels, longest]: a row's own does not depend on the others."""
    rows = [
        torch.randn(length, channels, generator=draw)
        for length, draw in zip(lengths, draws, strict=True)
    ]
    return pad_sequence(rows, batch_first=True).transpose(1, 2)
