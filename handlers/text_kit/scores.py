"""Answers with scores: labels with rounded numbers."""

from collections.abc import Sequence

import msgspec
import torch

from handler_kit.json_numbers import shortened


class Scored(msgspec.Struct, frozen=True):
    """A label and its score."""

    label: str
    score: float


def best(labels: Sequence[str], scores: torch.Tensor, top_k: int) -> list[Scored]:
    """Return the *top_k* labels with the highest *scores* [labels], best first."""
    values = short(scores)
    order = sorted(range(len(labels)), key=lambda place: -values[place])
    return [Scored(labels[place], values[place]) for place in order[:top_k]]


def short(scores: torch.Tensor) -> list[float]:
    """Return *scores* [n], float32, as numbers with few digits."""
    numbers: list[float] = shortened(scores.numpy()).tolist()
    return numbers
