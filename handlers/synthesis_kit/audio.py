"""Joins utterances' samples into one piece of audio."""

from collections.abc import Sequence

import torch
from torch import Tensor

FADE_SECONDS = 0.005  # at both ends of a breath: what is cut clicks
KNEE = 0.9  # above it the limiter bends


def joined(sentences: Sequence[Sequence[Tensor]], pauses: Sequence[int]) -> Tensor:
    """Return the sentences' pieces one after another, each sentence after its pause in samples."""
    parts: list[Tensor] = []
    for pieces, pause in zip(sentences, pauses, strict=True):
        parts += [torch.zeros(pause), *pieces]
    return torch.cat(parts) if parts else torch.zeros(0)


def faded(samples: Tensor, fade: int, *, begins: bool, ends: bool) -> Tensor:
    """Return *samples* with a raised cosine of *fade* samples where they begin or end a sound."""
    fade = min(fade, len(samples) // 2)
    ramp = torch.hann_window(2 * fade, periodic=True)[:fade] if fade else torch.ones(0)
    shaped = samples.clone()
    if begins:
        shaped[:fade] *= ramp
    if ends:
        shaped[len(shaped) - fade :] *= ramp.flip(0)
    return shaped


def amplified(samples: Tensor, volume: float) -> Tensor:
    """Return *samples* × *volume*; peaks above KNEE are bent towards 1 instead of being clipped."""
    loud = samples if volume == 1 else samples * volume
    if not len(loud) or float(loud.abs().max()) <= KNEE:  # as nearly always
        return loud
    beyond = (loud.abs() - KNEE).clamp(min=0)
    bent = KNEE + (1 - KNEE) * torch.tanh(beyond / (1 - KNEE))
    return torch.where(beyond > 0, bent * loud.sign(), loud)
