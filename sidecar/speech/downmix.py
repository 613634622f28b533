"""Audio of any number of channels as one, at a level that the recognisers hear.

What lies in the channels must not cancel: a microphone whose wires are swapped gives one channel
the other's opposite, and their mean would be silence.
"""

import math
from collections.abc import Generator, Iterator
from typing import Any, NamedTuple

import numpy as np

WINDOW_SECONDS = 1.0  # in which the channels are compared
CANCELLED = 0.5  # of the power that the mean of unlike channels has
BURIED = 0.01  # of the power of the loudest channel
QUIET = 0.003  # -50 dBFS: below it voice activity misses words
SPEECH_LEVEL = 0.05  # -26 dBFS: what quiet audio is raised to
MAX_GAIN = 10_000.0  # 80 dB
LARGEST = 1e30  # beyond it, squares would be infinite
USUAL = 0.999  # of the samples are smaller than the loudest that count
HEADROOM = 4.0  # above these: what a damaged packet gives beyond is cut off
_FRONT_CENTRE_WEIGHT = 2**0.5  # speech lies there
_FULL_SCALE = 32768.0

Planes = np.ndarray[Any, np.dtype[np.float32]]


class Sound(NamedTuple):
    """*planes* [channels, samples] from -1 to 1 or beyond, and the channels' names."""

    planes: Planes
    channels: tuple[str, ...]


def to_mono(
    sounds: Iterator[Sound | None], rate: int, block_seconds: float
) -> Generator[bytes, None, None]:
    """Yield *sounds* as s16le in blocks of about *block_seconds*; b"" for None and in between.

    A quiet block is raised, one that goes beyond full scale is lowered.
    """
    block: list[Sound] = []
    held = 0
    for sound in sounds:
        if sound is None or not sound.planes.shape[1]:
            yield b""
            continue
        if block and (block[0].channels != sound.channels or held >= block_seconds * rate):
            yield _quantised(_mixed(block, rate))
            block, held = [], 0
        else:
            yield b""
        block.append(sound)
        held += sound.planes.shape[1]
    if block:
        yield _quantised(_mixed(block, rate))


def _mixed(block: list[Sound], rate: int) -> Planes:
    planes = np.concatenate([sound.planes for sound in block], axis=1)
    if not -LARGEST < planes.min() <= planes.max() < LARGEST:  # nor is that so of a NaN
        np.nan_to_num(planes, copy=False, nan=0.0)
        planes.clip(-LARGEST, LARGEST, out=planes)
    if len(planes) == 1:
        only: Planes = planes[0]
        return only
    weights = _weights(block[0].channels)
    window = round(WINDOW_SECONDS * rate)
    return np.concatenate(
        [
            _mixed_window(planes[:, start : start + window], weights)
            for start in range(0, planes.shape[1], window)
        ]
    )


def _weights(channels: tuple[str, ...]) -> Planes:
    weights = np.array(
        [
            0.0 if name.startswith("LFE") else _FRONT_CENTRE_WEIGHT if name == "FC" else 1.0
            for name in channels
        ],
        np.float32,
    )
    return weights / weights.sum() if weights.any() else weights + 1 / len(weights)


def _mixed_window(planes: Planes, weights: Planes) -> Planes:
    """Return the channels' mean, or the loudest of them where the mean would lose it."""
    mean: Planes = weights @ planes
    powers = np.square(planes, dtype=np.float64).mean(axis=1)
    power = np.square(mean, dtype=np.float64).mean()
    unlike = np.square(weights) @ powers
    if power < CANCELLED * unlike or power < BURIED * powers.max():
        loudest: Planes = planes[powers.argmax()]
        return loudest
    return mean


def _quantised(mono: Planes) -> bytes:
    scaled = mono * np.float32(_gain(mono) * _FULL_SCALE)
    np.rint(scaled, out=scaled)
    scaled.clip(-_FULL_SCALE, _FULL_SCALE - 1, out=scaled)
    data: bytes = scaled.astype("<i2").tobytes()
    return data


def _gain(mono: Planes) -> float:
    """Return what brings *mono* to a level at which speech is found."""
    peak = float(max(mono.max(initial=0.0), -mono.min(initial=0.0)))
    if peak > 1:
        usual = float(np.quantile(np.abs(mono), USUAL))
        return 1 / max(1.0, min(peak, HEADROOM * usual))
    level = math.sqrt(float(np.dot(mono, mono)) / max(len(mono), 1))
    if not 0 < level < QUIET:
        return 1.0
    return max(1.0, min(SPEECH_LEVEL / level, 1 / peak, MAX_GAIN))
