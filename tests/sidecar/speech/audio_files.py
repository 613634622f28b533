"""Audio files made in memory, for the tests."""

import io
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream

Samples = np.ndarray[Any, np.dtype[np.int16]]

FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "300000"}


def speech_like(seconds: float, rate: int) -> Samples:
    """A swept voice in syllables, no two moments alike."""
    time = np.arange(round(seconds * rate)) / rate
    voice = sum(np.sin(2 * np.pi * k * (150 * time + 40 * time**2)) / k for k in (1, 2, 3, 5))
    syllables = np.clip(np.sin(2 * np.pi * 3.3 * time + 0.4 * np.sin(7 * time)), 0, 1) + 0.05
    return cast("Samples", (7000 * voice * syllables).astype("<i2"))


def pcm_of(samples: Samples) -> bytes:
    return samples.astype("<i2").tobytes()


def write(
    container: str,
    codec: str,
    samples: Samples,
    rate: int,
    *,
    layout: str = "mono",
    options: Mapping[str, str] | None = None,
    file: Any = None,
) -> bytes:
    """A file as other programs write it; the same audio in all channels."""
    target = io.BytesIO() if file is None else file
    with av.open(target, "w", format=container, container_options=dict(options or {})) as output:
        stream = output.add_stream(codec, rate=rate, layout=layout, options={"strict": "-2"})
        assert isinstance(stream, AudioStream)
        channels = stream.codec_context.channels
        interleaved = np.repeat(samples, channels)[None]
        frame = AudioFrame.from_ndarray(interleaved, format="s16", layout=layout)
        frame.sample_rate = rate
        frame.pts = 0
        frame.time_base = Fraction(1, rate)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return target.getvalue() if file is None else b""


def likeness(heard: bytes | Samples, original: Samples, *, within: int) -> float:
    """The correlation where the two fit best, shifted by up to *within* samples."""
    a = np.frombuffer(heard, "<i2") if isinstance(heard, bytes) else heard
    size = len(a) + len(original)
    spectrum = np.fft.rfft(a, size) * np.conj(np.fft.rfft(original, size))
    products = np.fft.irfft(spectrum, size)
    near = np.concatenate([products[: within + 1], products[size - within :]])
    energies = np.square(a, dtype=float).sum() * np.square(original, dtype=float).sum()
    return float(near.max() / np.sqrt(energies)) if energies else 0.0
