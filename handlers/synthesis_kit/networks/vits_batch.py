"""Batches rows of different lengths for a VITS: padded, masked, stretched to frames."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

MOST_FRAMES = 200.0  # of one symbol, before its tempo: two to three seconds


def padded(rows: list[Tensor], device: torch.device) -> Tensor:
    """Return [n, longest] on *device*, with zeros after each row."""
    return pad_sequence(rows, batch_first=True).to(device)


def mask_of(lengths: Sequence[int], device: torch.device) -> Tensor:
    """Return [n, 1, longest]: 1 where a row has something of its own."""
    places = torch.arange(max(lengths), device=device)
    own = torch.tensor(lengths, device=device)[:, None]
    return (places < own)[:, None].float()


def stretched(text: Tensor, frames: list[Tensor]) -> Tensor:
    """Return [n, channels, frames] of *text* [n, length, channels], each symbol repeated."""
    rows = [
        row[: len(own)].repeat_interleave(own, 0) for row, own in zip(text, frames, strict=True)
    ]
    return pad_sequence(rows, batch_first=True).transpose(1, 2)
