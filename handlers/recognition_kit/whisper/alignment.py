"""The times of tokens: the cheapest path through the decoder's attention to the audio.

After ``whisper/timing.py``, `find_alignment`: attention over the audio, its softmax, normalised, a
median filter along time, the mean over the heads, then dynamic time warping.
"""

from typing import Any

import numpy as np
import torch

FILTER_WIDTH = 7
SECONDS_PER_POSITION = 0.02

Costs = np.ndarray[Any, np.dtype[np.float64]]
Places = np.ndarray[Any, np.dtype[np.int64]]


def token_times(scores: torch.Tensor, seconds: float) -> list[float]:
    """Return the time of each row of *scores*, in seconds from the start of the piece.

    *scores* [heads, rows, positions] are the attention before its softmax.  A row attends to the
    position at which the next token is spoken.  *seconds* is the length of the piece.
    """
    positions = max(1, min(scores.shape[2], int(np.ceil(seconds / SECONDS_PER_POSITION))))
    weights = scores[:, :, :positions].float().softmax(dim=-1)
    spread = weights.std(dim=-2, keepdim=True, unbiased=False).clamp(min=1e-8)
    normed = (weights - weights.mean(dim=-2, keepdim=True)) / spread
    looked = _median_filtered(normed).mean(dim=0).cpu().double().numpy()
    return [min(place * SECONDS_PER_POSITION, seconds) for place in warp(-looked).tolist()]


def warp(costs: Costs) -> Places:
    """Return the column at which the cheapest path between opposite corners enters each row.

    *costs* is [rows, columns].  The loop is over anti-diagonals, each of which numpy computes at
    once.
    """
    rows, columns = costs.shape
    total = np.full((rows + 1, columns + 1), np.inf)
    total[0, 0] = 0.0
    came_from = np.zeros((rows + 1, columns + 1), np.int8)
    for diagonal in range(2, rows + columns + 1):
        row = np.arange(max(1, diagonal - columns), min(rows, diagonal - 1) + 1)
        column = diagonal - row
        before = np.stack(
            [total[row - 1, column - 1], total[row - 1, column], total[row, column - 1]]
        )
        came_from[row, column] = before.argmin(axis=0)
        total[row, column] = before.min(axis=0) + costs[row - 1, column - 1]
    entered = np.zeros(rows, np.int64)
    row_at, column_at = rows, columns
    while row_at > 0:
        entered[row_at - 1] = column_at - 1
        step = came_from[row_at, column_at]
        row_at, column_at = row_at - (step != 2), column_at - (step != 1)
    return entered


def _median_filtered(weights: torch.Tensor) -> torch.Tensor:
    """Return the median of each position and its neighbours, [heads, tokens, positions]."""
    reach = FILTER_WIDTH // 2
    if weights.shape[-1] <= reach:
        return weights
    padded = torch.nn.functional.pad(weights, (reach, reach), mode="reflect")
    return padded.unfold(-1, FILTER_WIDTH, 1).median(dim=-1).values
