"""What the speech tests ask of a live server."""

import asyncio
import io
from typing import Any, NamedTuple

import aiohttp
import av
import numpy as np

Samples = np.ndarray[Any, np.dtype[np.float32]]


class Audio(NamedTuple):
    """A file as it came, and as it sounds: mono, −1 to 1."""

    data: bytes
    samples: Samples
    rate: int

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate


async def speak(http: aiohttp.ClientSession, text: str, **fields: Any) -> Audio:
    """*text* as a file, decoded; WAV unless *fields* say otherwise."""
    body = {"text": text, **fields}
    async with http.post("/synthesize", json=body, headers={"Accept": "audio/*"}) as response:
        data = await response.read()
        assert response.status == 200, data
    return await asyncio.to_thread(decoded, data, fields.get("output_format", "wav"))


def decoded(data: bytes, name: str = "wav") -> Audio:
    """The samples of a file that the server made."""
    if name == "pcm":
        return Audio(data, np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768), 24000)
    with av.open(io.BytesIO(data), "r") as container:
        frames = list(container.decode(audio=0))
    rate = frames[0].sample_rate
    resampler = av.AudioResampler("flt", "mono", rate)
    parts = [part.to_ndarray()[0] for frame in frames for part in resampler.resample(frame)]
    return Audio(data, np.concatenate(parts), rate)


async def transcribe(http: aiohttp.ClientSession, data: bytes, **fields: str) -> dict[str, Any]:
    """The answer to a multipart body."""
    form = aiohttp.FormData()
    form.add_field("file", io.BytesIO(data), filename="clip.wav", content_type="audio/wav")
    for name, value in fields.items():
        form.add_field(name, value)
    async with http.post("/transcribe", data=form) as response:
        answer: dict[str, Any] = await response.json()
        assert response.status == 200, answer
    return answer


def pitch(audio: Audio) -> float:
    """The median fundamental frequency in Hz, by autocorrelation of 50 ms windows."""
    window, low, high = audio.rate // 20, audio.rate // 500, audio.rate // 60
    found = []
    for start in range(0, len(audio.samples) - window, window // 2):
        part = audio.samples[start : start + window]
        if np.sqrt(np.mean(part**2)) < 0.02:
            continue
        part = part - part.mean()
        correlation = np.correlate(part, part, "full")[window - 1 :]
        lag = low + int(correlation[low:high].argmax())
        if correlation[lag] > 0.5 * correlation[0]:
            found.append(audio.rate / lag)
    return float(np.median(found))


def loudness(audio: Audio) -> float:
    """The root mean square of what is not silence."""
    loud = audio.samples[np.abs(audio.samples) > 0.005]
    return float(np.sqrt(np.mean(loud**2)))
