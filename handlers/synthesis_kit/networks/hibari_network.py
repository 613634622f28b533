"""hibari as a network that speaks: batches of utterances at 24 kHz."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
import soxr
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from handler_kit.errors import LoadError
from handler_kit.threads import one_thread
from synthesis_kit.networks.hibari_graphs import HibariGraphs
from synthesis_kit.networks.hibari_modules import (
    FRAMES_PER_STEP,
    VOICED_HZ,
    Contour,
    HibariModules,
    HibariStages,
    contour_of,
    frame_inputs,
    steps_of,
)
from synthesis_kit.networks.hibari_vocoder import HOP, SAMPLE_RATE, HibariVocoder
from synthesis_kit.text.reading import PhonemeReader, SymbolReader
from synthesis_kit.utterance import SynthesisNetwork, Utterance
from synthesis_kit.word_times import TimeSpan

EDGE = 0  # the symbol before the first and after the last
LOWEST_HZ = VOICED_HZ + 1


class HibariNetwork(SynthesisNetwork):
    """`SynthesisNetwork` with hibari's weights."""

    controls = frozenset({"speed", "pitch", "emotion"})
    job_seconds = 48.0
    knows_times = True
    sample_rate = SAMPLE_RATE

    def __init__(self, modules: HibariModules, symbols: dict[str, int], folder: Path) -> None:
        self.model: nn.Module = modules
        self._modules = modules
        self._symbols = symbols
        self._folder = folder
        device = next(modules.parameters()).device
        self.vocoder = HibariVocoder().to(device)
        self.speaks_side_by_side = device.type == "cpu"

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> "HibariNetwork":
        """Load `model.safetensors` and `vocab.json`; the graphs only when they are needed.

        Raises LoadError.
        """
        try:
            symbols = msgspec.json.decode((folder / "vocab.json").read_bytes(), type=dict[str, int])
            weights = load_file(folder / "model.safetensors", device=str(device))
            # Not on the meta device: what that imports takes two seconds, filling 0.1.
            modules = HibariModules(len(weights["acoustic.text.embedding.weight"]))
            modules.load_state_dict(weights, assign=True)
        except (OSError, KeyError, RuntimeError, msgspec.DecodeError) as exc:
            raise LoadError(f"cannot load hibari's network: {exc}") from exc
        modules = modules.to(device).eval().requires_grad_(requires_grad=False)
        return cls(modules, symbols, folder)

    def reader(self) -> SymbolReader:
        """Return a reader of phonemes."""
        return PhonemeReader()

    def length(self, utterance: Utterance) -> int:
        """Return how many symbols it has, with the two at its edges."""
        return len(utterance.symbols) + 2

    def speak(self, utterances: Sequence[Utterance]) -> list[Tensor]:
        """Return samples, float32 on the CPU, one row per utterance."""
        together = [[each] for each in utterances] if self._modules.in_int8 else [utterances]
        with one_thread():
            return [samples for each in together for samples in self._speak(each)]

    def times(self, utterances: Sequence[Utterance]) -> list[list[TimeSpan]]:
        """Return symbols' times from their predicted durations; an unknown symbol takes none."""
        with one_thread():
            return [self._spans(each) for each in utterances]

    @property
    def _stages(self) -> HibariStages:
        return self._graphs if self._modules.in_int8 else self._modules

    @cached_property
    def _graphs(self) -> HibariGraphs:
        return HibariGraphs(self._folder)

    def _spans(self, utterance: Utterance) -> list[TimeSpan]:
        device = self.vocoder.window.device
        (steps,), _, _ = self._texts(
            [torch.tensor(self.symbol_ids(utterance), device=device)], [utterance]
        )
        seconds = FRAMES_PER_STEP * HOP / SAMPLE_RATE / utterance.formants
        ends = iter((steps.cumsum(0) * seconds).tolist())
        end = next(ends)  # of the edge
        spans: list[TimeSpan] = []
        for symbol in utterance.symbols:
            start, end = end, next(ends) if symbol in self._symbols else end
            spans.append((start, end))
        return spans

    def _speak(self, utterances: Sequence[Utterance]) -> list[Tensor]:
        device = self.vocoder.window.device
        symbols = [torch.tensor(self.symbol_ids(each), device=device) for each in utterances]
        steps, acoustic, prosodic = self._texts(symbols, utterances)
        mask = _mask([int(each.sum()) for each in steps], device)
        contour = contour_of(self._stages.contours(_stretched(prosodic, steps), mask))
        contour = _shaped(contour, [int(each.sum()) for each in steps], utterances)
        frame_mask = None if mask is None else mask.repeat_interleave(FRAMES_PER_STEP, 2)
        text = _stretched(acoustic, steps).repeat_interleave(FRAMES_PER_STEP, 2)
        frames = self._stages.frames(frame_inputs(text, contour), frame_mask)
        return [
            self._voiced(frames[row, :length], contour.pitch[row, :length], utterance)
            for row, (utterance, length) in enumerate(
                zip(utterances, (FRAMES_PER_STEP * int(each.sum()) for each in steps), strict=True)
            )
        ]

    def symbol_ids(self, utterance: Utterance) -> list[int]:
        """Return the numbers of the utterance's symbols, and of those that frame it.

        A symbol that the voice does not know has none.
        """
        known = (self._symbols.get(symbol) for symbol in utterance.symbols)
        return [EDGE, *(each for each in known if each is not None), EDGE]

    def _texts(
        self, symbols: list[Tensor], utterances: Sequence[Utterance]
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        """Return each utterance's steps per symbol, and what both text encoders make of all."""
        device = symbols[0].device
        ids = pad_sequence(symbols, batch_first=True)
        mask = _mask([len(each) for each in symbols], device)
        acoustic, prosodic, durations = self._stages.texts(ids, mask)
        factors = [each.prosody.duration * each.formants for each in utterances]
        steps = steps_of(durations, torch.tensor(factors, device=device))
        own = [row[: len(each)] for row, each in zip(steps, symbols, strict=True)]
        return own, acoustic, prosodic

    def _voiced(self, frames: Tensor, pitch: Tensor, utterance: Utterance) -> Tensor:
        samples: Tensor = self.vocoder(frames, pitch, utterance.seed).cpu()
        if utterance.formants == 1:
            return samples
        moved = soxr.resample(samples.numpy(), SAMPLE_RATE * utterance.formants, SAMPLE_RATE)
        return torch.from_numpy(np.asarray(moved, np.float32))


def _mask(lengths: Sequence[int], device: torch.device) -> Tensor | None:
    """Return [n, 1, longest], or None where all are equally long."""
    if min(lengths) == max(lengths):
        return None
    places = torch.arange(max(lengths), device=device)
    own = torch.tensor(lengths, device=device)[:, None]
    return (places < own)[:, None].float()


def _stretched(text: Tensor, steps: list[Tensor]) -> Tensor:
    """Return [n, channels, steps] of *text* [n, channels, length], symbols repeated by *steps*."""
    rows = [
        row[:, : len(own)].repeat_interleave(own, 1).T for row, own in zip(text, steps, strict=True)
    ]
    return pad_sequence(rows, batch_first=True).transpose(1, 2)


def _shaped(contour: Contour, steps: Sequence[int], utterances: Sequence[Utterance]) -> Contour:
    """Return the predicted contour, changed by the utterances' prosody.

    Pitch moves on a logarithmic scale, its range around the utterance's own mean.
    """
    pitch, energy = contour.pitch.clone(), contour.energy.clone()
    for row, (count, utterance) in enumerate(zip(steps, utterances, strict=True)):
        wanted = utterance.prosody
        own = pitch[row, : FRAMES_PER_STEP * count]
        voiced = own > VOICED_HZ
        if voiced.any():
            log_pitch = own[voiced].log()
            mean = log_pitch.mean()
            moved = mean + (log_pitch - mean) * wanted.pitch_range
            hertz = moved.exp() * (wanted.pitch / utterance.formants)
            own[voiced] = hertz.clamp(min=LOWEST_HZ)  # lower, it would pass for no pitch at all
        energy[row] += wanted.energy
    return Contour(pitch, energy)
