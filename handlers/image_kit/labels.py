"""A network's numbers as its labels."""

from collections.abc import Mapping

import msgspec
import torch


class Label(msgspec.Struct):
    """One thing that may be seen, and how sure the network is: 0-1, all together 1."""

    label: str
    score: float


def best_labels(scores: torch.Tensor, names: Mapping[int, str], count: int) -> list[Label]:
    """The *count* best of *scores* [labels], best first."""
    best = torch.topk(scores, min(count, len(scores)))
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return [Label(names[place], score) for place, score in pairs]
