"""A picture on its way through the network."""

from typing import NamedTuple

import torch

from image_kit.parameters import ImageParameters


class Seen(NamedTuple):
    """One picture as the network takes it, [3, height, width], and what was asked of it."""

    pixels: torch.Tensor
    parameters: ImageParameters


class Scores(NamedTuple):
    """The probabilities of a pass, [pictures, labels], and what was asked of each picture."""

    probabilities: torch.Tensor
    parameters: list[ImageParameters]
