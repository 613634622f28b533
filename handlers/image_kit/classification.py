"""The inputs of a classifier, its outputs, and the labels to answer."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import torch

from image_kit.parameters import ImageParameters


class PreparedImage(NamedTuple):
    """A picture prepared for the network, [3, height, width], and its parameters."""

    pixels: torch.Tensor
    parameters: ImageParameters


class ImageScores(NamedTuple):
    """The probabilities of a pass, [pictures, labels], and the parameters of each picture."""

    probabilities: torch.Tensor
    parameters: list[ImageParameters]


class Label(msgspec.Struct):
    """A label and its probability, 0 to 1.  Those of all labels add up to 1."""

    label: str
    score: float


def best_labels(scores: torch.Tensor, names: Mapping[int, str], count: int) -> list[Label]:
    """Return the *count* labels with the highest of *scores* [labels], best first."""
    best = torch.topk(scores, min(count, len(scores)))
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return [Label(names[place], score) for place, score in pairs]
