"""Rows of different lengths as one batch of a VITS: padded, masked, stretched to frames."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

MOST_FRAMES = 200.0  # of one symbol, before its tempo: two to three seconds


def padded(rows: list[Tensor], device: torch.device) -> Tensor:
    """[n, longest] on *device*, zeros behind each row."""
    return pad_sequence(rows, batch_first=True).to(device)


def mask_of(lengths: Sequence[int], device: torch.device) -> Tensor:
    """[n, 1, longest]: 1 where a row is its own."""
    places = torch.arange(max(lengths), device=device)
    own = torch.tensor(lengths, device=device)[:, None]
    return (places < own)[:, None].float()


def stretched(text: Tensor, frames: list[Tensor]) -> Tensor:
    """[n, channels, frames] from *text* [n, length, channels]: each symbol for all its frames."""
    rows = [
        row[: len(own)].repeat_interleave(own, 0) for row, own in zip(text, frames, strict=True)
    ]
    return pad_sequence(rows, batch_first=True).transpose(1, 2)
