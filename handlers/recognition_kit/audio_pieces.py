"""Cuts long audio at quiet places into pieces that fit the network's input."""

from typing import NamedTuple

import numpy as np

from handler_kit.wav import Samples

SEARCHED_SECONDS = 5.0  # at the end of each piece
QUIET_SECONDS = 0.3  # the length of the quiet stretch that is looked for
STEP_SECONDS = 0.01


class AudioPiece(NamedTuple):
    """The samples from *start* to *end* (not included) of a clip."""

    start: int
    end: int


def cut(samples: Samples, longest: int, sample_rate: int) -> list[AudioPiece]:
    """Cut *samples* into pieces of at most *longest* samples each.  No samples give no pieces.

    Each piece ends at the quietest place of its last seconds, the last one at the clip's end.
    """
    pieces: list[AudioPiece] = []
    start = 0
    while len(samples) - start > longest:
        end = _quietest(samples, start + longest, sample_rate)
        pieces.append(AudioPiece(start, end))
        start = end
    return [*pieces, AudioPiece(start, len(samples))] if len(samples) else []


def halve(samples: Samples, piece: AudioPiece, sample_rate: int) -> list[AudioPiece]:
    """Cut *piece* of *samples* in two, at the quietest place of its middle third."""
    third = (piece.end - piece.start) // 3
    latest = piece.end - third
    at = _quietest(samples, latest, sample_rate, searched_seconds=third / sample_rate)
    return [AudioPiece(piece.start, at), AudioPiece(at, piece.end)]


def _quietest(
    samples: Samples, latest: int, sample_rate: int, searched_seconds: float = SEARCHED_SECONDS
) -> int:
    """Return the middle of the stretch with the least energy that ends at or before *latest*."""
    step, quiet = int(STEP_SECONDS * sample_rate), int(QUIET_SECONDS * sample_rate)
    first = latest - int(searched_seconds * sample_rate)
    power = np.square(samples[first:latest], dtype=np.float64)
    summed = np.concatenate([[0.0], np.cumsum(power)])
    energies = (summed[quiet:] - summed[:-quiet])[::step]
    return first + int(np.argmin(energies)) * step + quiet // 2
