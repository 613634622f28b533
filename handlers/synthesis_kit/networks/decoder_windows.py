"""Decodes spectrograms in windows of few lengths, side by side, as suits a CPU.

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

LENGTHS = 32  # a window's frames are a multiple of it
LONGEST = 192  # frames of a window: longer ones are no faster, and take more memory
UNDIVIDED = 64  # frames: half a window for each of two threads would gain nothing

Decode = Callable[[Tensor, Tensor | None], Tensor]


class DecoderWindow(NamedTuple):
    """The frames *given* to the decoder, and those *heard*, whose samples are kept.

    *length* is how many frames the decoder is given, with zeros after those that there are.
    """

    given: range
    heard: range
    length: int


def decoded(decode: Decode, spectrograms: Sequence[Tensor], reach: int, hop: int) -> list[Tensor]:
    """Return the samples of each of *spectrograms* [channels, frames], in order.

    *decode* makes samples [n, samples] of spectrograms [n, channels, frames] and their mask, *hop*
    of each frame, of which *reach* on either side are heard.  An utterance has the same windows,
    and so the same samples, whoever else speaks.
    """
    windows = [
        (spectrogram, window)
        for spectrogram in spectrograms
        for window in windows_of(spectrogram.shape[1], reach)
    ]

    def decode_one(pair: tuple[Tensor, DecoderWindow]) -> Tensor:
        spectrogram, (given, heard, length) = pair
        frames = spectrogram[None, :, given.start : given.stop]
        mask = None
        if missing := length - len(given):
            frames = pad(frames, (0, missing))
            mask = (torch.arange(length) < len(given)).float()[None, None]
        first = heard.start - given.start
        return decode(frames, mask)[0, first * hop : (first + len(heard)) * hop]

    samples = iter(each_on_one_thread(decode_one, windows))
    return [
        torch.cat([next(samples) for _ in windows_of(each.shape[1], reach)])
        for each in spectrograms
    ]


def windows_of(frames: int, reach: int) -> list[DecoderWindow]:
    """Return the windows in which an utterance of so many *frames* is decoded.

    All but the last have one length, and an even number would do for equal ones: two threads share
    them.
    """
    if frames <= UNDIVIDED:
        bounds = [0, frames]
    else:
        parts = 2 * -(-frames // (2 * (LONGEST - 2 * reach)))
        length = _rounded_up(-(-(frames + 2 * reach * (parts - 1)) // parts))
        bounds = [0, *range(length - reach, frames, length - 2 * reach), frames]
    return [_window(range(*ends), frames, reach) for ends in pairwise(bounds)]


def _window(heard: range, frames: int, reach: int) -> DecoderWindow:
    """Return the window of *heard*; it has frames rather than zeros wherever there are any."""
    begin, end = max(0, heard.start - reach), min(frames, heard.stop + reach)
    length = _rounded_up(end - begin)
    begin = max(0, min(begin, frames - length))
    return DecoderWindow(range(begin, min(frames, begin + length)), heard, length)


def _rounded_up(frames: int) -> int:
    return -(-frames // LENGTHS) * LENGTHS
