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
from handler_kit.threads import each_on_one_thread, one_thread
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
from synthesis_kit.networks.hibari_window import Window, first_resampled, window_of
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
    speaks_parts = True
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
        return len(utterance.breath) + 2

    def speak(self, utterances: Sequence[Utterance]) -> list[Tensor]:
        """Return samples, float32 on the CPU, one row per utterance."""
        together = [[each] for each in utterances] if self.speaks_side_by_side else [utterances]
        return [row for rows in each_on_one_thread(self._speak, together) for row in rows]

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
        begin = self._window(utterance, steps).heard.start // FRAMES_PER_STEP
        seconds = FRAMES_PER_STEP * HOP / SAMPLE_RATE / utterance.formants
        before = self._count(utterance.before)
        ends = iter(((steps.cumsum(0) - begin) * seconds)[before:].tolist())
        end = next(ends)  # of what stands before the first symbol
        spans: list[TimeSpan] = []
        for symbol in utterance.symbols:
            start, end = end, next(ends) if symbol in self._symbols else end
            spans.append((start, end))
        return spans

    def _speak(self, utterances: Sequence[Utterance]) -> list[Tensor]:
        device = self.vocoder.window.device
        symbols = [torch.tensor(self.symbol_ids(each), device=device) for each in utterances]
        steps, acoustic, prosodic = self._texts(symbols, utterances)
        windows = [self._window(*each) for each in zip(utterances, steps, strict=True)]
        counts = [window.steps for window in windows]
        stretched = _stretched(prosodic, steps, counts)
        contour = contour_of(self._stages.contours(stretched, _mask(counts, device)))
        contour = _shaped(contour, counts, utterances)
        text = _stretched(acoustic, steps, counts).repeat_interleave(FRAMES_PER_STEP, 2)
        inputs = _cut(frame_inputs(text, contour), [window.decoded for window in windows])
        mask = _mask([len(window.decoded) for window in windows], device)
        frames = self._stages.frames(inputs, mask)
        return [
            self._voiced(own, pitch[: window.voiced.stop], utterance, window)
            for own, pitch, utterance, window in zip(
                frames, contour.pitch, utterances, windows, strict=True
            )
        ]

    def symbol_ids(self, utterance: Utterance) -> list[int]:
        """Return the numbers of the symbols of the utterance's breath, and of those that frame it.

        A symbol that the voice does not know has none.
        """
        known = (self._symbols.get(symbol) for symbol in utterance.breath)
        return [EDGE, *(each for each in known if each is not None), EDGE]

    def _count(self, symbols: str) -> int:
        """Return how many of *symbols* the voice knows."""
        return sum(symbol in self._symbols for symbol in symbols)

    def _window(self, utterance: Utterance, steps: Tensor) -> Window:
        """Return which of the frames of a breath are needed for *utterance*, by its *steps*."""
        first = 1 + self._count(utterance.before)
        last = first + self._count(utterance.symbols)
        begin = int(steps[:first].sum()) if utterance.before else 0
        total = int(steps.sum())
        end = int(steps[:last].sum()) if utterance.after else total
        return window_of(
            range(FRAMES_PER_STEP * begin, FRAMES_PER_STEP * end),
            total,
            is_shifted=utterance.formants != 1,
            is_ranged=utterance.prosody.pitch_range != 1,
        )

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

    def _voiced(
        self, frames: Tensor, pitch: Tensor, utterance: Utterance, window: Window
    ) -> Tensor:
        """Return the samples that are heard of the decoded *frames* of a breath."""
        first = window.voiced.start
        own = frames[first - window.decoded.start :][: len(window.voiced)]
        samples: Tensor = self.vocoder(own, pitch, utterance.seed, first).cpu()
        if utterance.formants == 1:
            return samples[(window.heard.start - first) * HOP :][: len(window.heard) * HOP]
        return _shifted(samples, utterance, window)


def _mask(lengths: Sequence[int], device: torch.device) -> Tensor | None:
    """Return [n, 1, longest], or None where all are equally long."""
    if min(lengths) == max(lengths):
        return None
    places = torch.arange(max(lengths), device=device)
    own = torch.tensor(lengths, device=device)[:, None]
    return (places < own)[:, None].float()


def _stretched(text: Tensor, steps: list[Tensor], counts: Sequence[int]) -> Tensor:
    """Return [n, channels, steps] of *text* [n, channels, length], symbols repeated by *steps*.

    Of each row only the first of its *counts* are there.
    """
    rows = [
        row[:, : len(own)].repeat_interleave(own, 1)[:, :count].T
        for row, own, count in zip(text, steps, counts, strict=True)
    ]
    return pad_sequence(rows, batch_first=True).transpose(1, 2)


def _cut(inputs: Tensor, ranges: Sequence[range]) -> Tensor:
    """Return [n, channels, longest] of *inputs* [n, channels, frames]: of each row its range."""
    rows = [row[:, own.start : own.stop].T for row, own in zip(inputs, ranges, strict=True)]
    return pad_sequence(rows, batch_first=True).transpose(1, 2)


def _shifted(samples: Tensor, utterance: Utterance, window: Window) -> Tensor:
    """Return what is heard of *samples*, resampled to move the formants.

    The parts of a breath continue each other: both lie on one grid of samples, which begins with
    the breath.
    """
    formants = utterance.formants
    begin, end = (round(each * HOP / formants) for each in (window.heard.start, window.heard.stop))
    first = first_resampled(window, formants)
    unheard = round(first * formants) - window.voiced.start * HOP
    moved = soxr.resample(samples[unheard:].numpy(), SAMPLE_RATE * formants, SAMPLE_RATE)
    heard = moved[begin - first :]
    return torch.from_numpy(
        np.asarray(heard[: end - begin] if utterance.after else heard, np.float32)
    )


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
