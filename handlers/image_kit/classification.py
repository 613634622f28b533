"""A picture on its way through a classifier, and the labels that come out."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import torch

from image_kit.parameters import ImageParameters


class PreparedImage(NamedTuple):
    """One picture as the network takes it, [3, height, width], and what was asked of it."""

    pixels: torch.Tensor
    parameters: ImageParameters


class ImageScores(NamedTuple):
    """The probabilities of one pass, [pictures, labels], and what was asked of each picture."""

    probabilities: torch.Tensor
    parameters: list[ImageParameters]


class Label(msgspec.Struct):
    """A label and its probability, 0 to 1; all labels of a checkpoint add up to 1."""

    label: str
    score: float


def best_labels(scores: torch.Tensor, names: Mapping[int, str], count: int) -> list[Label]:
    """Return the *count* labels with the highest of *scores* [labels], best first."""
    best = torch.topk(scores, min(count, len(scores)))
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return [Label(names[place], score) for place, score in pairs]
