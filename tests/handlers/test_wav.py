"""handler_kit.wav: speech in and out of plain TorchServe."""

import io
import wave

import numpy as np
import pytest

from handler_kit.errors import InvalidInput
from handler_kit.wav import Samples, from_pcm, read_wav, to_pcm, write_wav

TONE: Samples = (np.sin(2 * np.pi * 440 * np.arange(16000) / 16000) / 2).astype(np.float32)


def test_a_written_file_is_read_back() -> None:
    assert np.abs(read_wav(write_wav(to_pcm(TONE), 16000), 16000) - TONE).max() < 1e-4


def test_another_rate_and_two_channels_become_mono_at_ours() -> None:
    both = np.stack([TONE, -TONE / 2], axis=1)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes((both * 32767).astype("<i2").tobytes())
    read = read_wav(buffer.getvalue(), 16000)
    assert len(read) == 2 * len(TONE)
    assert np.abs(read).max() == pytest.approx(0.125, rel=0.05)


def test_too_loud_samples_are_clipped() -> None:
    assert from_pcm(to_pcm(np.array([2.0, -2.0], np.float32))).round(3).tolist() == [1.0, -1.0]


@pytest.mark.parametrize("data", [b"", b"RIFF", b"RIFF\x00\x00\x00\x00WAVEjunk", b"no wav at all"])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="not a WAV file"):
        read_wav(data, 16000)


@pytest.mark.parametrize("rate", [1, 3_999, 384_001])
def test_an_implausible_rate_is_refused(rate: int) -> None:
    with pytest.raises(InvalidInput, match=f"{rate} samples per second"):
        read_wav(write_wav(bytes(2000), rate), 16_000)


def test_an_odd_number_of_pcm_bytes_is_refused() -> None:
    with pytest.raises(InvalidInput, match="even number"):
        from_pcm(b"abc")
