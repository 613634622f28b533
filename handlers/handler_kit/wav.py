"""WAV files and 16-bit PCM, for clients that use TorchServe without the sidecar."""

import io
import wave
from typing import Any

import numpy as np
import soxr

from handler_kit.errors import InvalidInput

Samples = np.ndarray[Any, np.dtype[np.float32]]  # mono, −1 to 1

FULL_SCALE = 32768  # of 16-bit samples
MIN_RATE, MAX_RATE = 4_000, 384_000  # Hz; lower rates would grow too much when resampled


def from_pcm(pcm: bytes) -> Samples:
    """Return signed 16-bit little-endian samples as numbers from −1 to 1.  Raises InvalidInput."""
    if len(pcm) % 2:
        raise InvalidInput("16-bit PCM must have an even number of bytes")
    return np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(FULL_SCALE)


def to_pcm(samples: Samples) -> bytes:
    """Return *samples* as signed 16-bit little-endian, clipped at full scale."""
    scaled = np.round(samples * FULL_SCALE)
    return np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype("<i2").tobytes()


def read_wav(data: bytes, sample_rate: int) -> Samples:
    """Return the samples of a 16-bit WAV file, mixed to mono, at *sample_rate* Hz.

    Raises InvalidInput.
    """
    try:
        with wave.open(io.BytesIO(data)) as file:
            rate, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
            pcm = file.readframes(file.getnframes())
    except (wave.Error, EOFError, RuntimeError) as exc:
        raise InvalidInput(f"The input is not a WAV file: {exc}") from exc
    if not MIN_RATE <= rate <= MAX_RATE:
        raise InvalidInput(
            f"The WAV file has {rate} samples per second; expected {MIN_RATE} to {MAX_RATE}"
        )
    if width != 2:
        raise InvalidInput(f"The WAV file has {8 * width} bits per sample; expected 16")
    whole = len(pcm) - len(pcm) % (2 * channels)
    mono = from_pcm(pcm[:whole]).reshape(-1, channels).mean(axis=1, dtype=np.float32)
    return mono if rate == sample_rate else np.asarray(soxr.resample(mono, rate, sample_rate))


def write_wav(pcm: bytes, sample_rate: int) -> bytes:
    """Return a mono WAV file of signed 16-bit samples at *sample_rate* Hz."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(pcm)
    return buffer.getvalue()
