"""Convolutions over long rows in windows of few lengths, side by side, as suits a CPU.

A convolution is prepared for each length anew, which takes as long as the convolution itself, so
that each sentence with a length of its own would take double the time.  A sentence in two windows
uses two cores even where nobody else speaks.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from handler_kit.threads import each_on_one_thread

LENGTHS = 24  # a window's frames are a multiple of it
LONGEST = 192  # frames of a window: longer ones are no faster, and take more memory
UNDIVIDED = 64  # frames: half of them for each of two threads would gain nothing

Work = Callable[[Tensor, Tensor | None], Tensor]


class TimeWindow(NamedTuple):
    """The frames *given* to the convolutions, and those *heard*, whose outputs are kept.

    *length* is how many frames they are given, with zeros after those that there are.
    """

    given: range
    heard: range
    length: int


def in_windows(work: Work, rows: Sequence[Tensor], reach: int, hop: int = 1) -> list[Tensor]:
    """Return what *work* makes of each of *rows* [channels, frames], in order.

    *work* makes [n, …, frames × *hop*] of [n, channels, frames] and a mask [n, 1, frames], which
    is None where all frames are an utterance's own.  An output depends on *reach* frames on
    either side.  A row has the same windows, and so the same outputs, whatever rows are beside it.
    """
    windows = [(row, window) for row in rows for window in windows_of(row.shape[1], reach)]

    def work_on(pair: tuple[Tensor, TimeWindow]) -> Tensor:
        row, (given, heard, length) = pair
        frames, mask = row[None, :, given.start : given.stop], None
        if missing := length - len(given):
            frames = pad(frames, (0, missing))
            mask = (torch.arange(length) < len(given)).float()[None, None]
        first = heard.start - given.start
        return work(frames, mask)[0, ..., first * hop : (first + len(heard)) * hop]

    made = iter(each_on_one_thread(work_on, windows))
    return [torch.cat([next(made) for _ in windows_of(row.shape[1], reach)], -1) for row in rows]


def windows_of(frames: int, reach: int) -> list[TimeWindow]:
    """Return the windows for a row of so many *frames*, with *reach* on either side of each.

    All but the last have one length; that would make an even number if the last had it too, as a
    worker often has two threads.
    """
    if frames <= UNDIVIDED:
        bounds = [0, frames]
    else:
        longest = max(LONGEST, 4 * reach)
        parts = 2 * -(-frames // (2 * (longest - 2 * reach)))
        length = _rounded_up(-(-(frames + 2 * reach * (parts - 1)) // parts))
        bounds = [0, *range(length - reach, frames, length - 2 * reach), frames]
    return [_window(range(*ends), frames, reach) for ends in pairwise(bounds)]


def _window(heard: range, frames: int, reach: int) -> TimeWindow:
    """Return the window of *heard*; it has frames rather than zeros wherever there are any."""
    begin, end = max(0, heard.start - reach), min(frames, heard.stop + reach)
    length = _rounded_up(end - begin)
    begin = max(0, min(begin, frames - length))
    return TimeWindow(range(begin, min(frames, begin + length)), heard, length)


def _rounded_up(frames: int) -> int:
    return -(-frames // LENGTHS) * LENGTHS
