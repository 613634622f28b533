"""The first sound of a long text, in every format, alone and among other clients."""

import asyncio
import io
import statistics
import time
from typing import NamedTuple

import aiohttp
import av

from benchmarks.effort import Effort
from benchmarks.report import Report, table
from benchmarks.servers import ours
from benchmarks.texts import long_text
from sidecar.schemas.synthesis import OutputFormat
from sidecar.speech.output_formats import FORMATS

VOICE = "hibari_tts"
CHARACTERS = 3000
CLIENTS = 8


class Streamed(NamedTuple):
    """Seconds until a player could begin, and until all had come."""

    sound: float
    total: float


async def run(effort: Effort) -> Report:
    """Return one table."""
    text = long_text(CHARACTERS)
    rows = []
    with ours(VOICE) as server:
        async with aiohttp.ClientSession(server.url) as http:
            for name in FORMATS:
                alone = [await _stream(http, text, name) for _ in range(effort.rounds + 1)][1:]
                crowd = [
                    each.sound
                    for _ in range(effort.rounds)
                    for each in await asyncio.gather(
                        *(_stream(http, text, name) for _ in range(CLIENTS))
                    )
                ]
                first = statistics.median(each.sound for each in alone)
                last = statistics.median(each.total for each in alone)
                p95 = statistics.quantiles(crowd, n=20)[-1]
                rows.append([name, f"{first:.3f}", f"{last:.2f}", f"{p95:.2f}"])
    head = ["", "first sound, s", "all, s", f"first sound with {CLIENTS} clients, p95, s"]
    return Report(f"{len(text)} characters with `{VOICE}`:\n\n{table(head, rows)}")


async def _stream(http: aiohttp.ClientSession, text: str, name: OutputFormat) -> Streamed:
    body = {"text": text, "model": VOICE, "output_format": name, "enable_streaming": True}
    arrived: list[tuple[float, int]] = []  # seconds, and bytes so far
    data = bytearray()
    began = time.perf_counter()
    async with http.post("/synthesize", json=body) as response:
        response.raise_for_status()
        async for chunk in response.content.iter_any():
            data += chunk
            arrived.append((time.perf_counter() - began, len(data)))
    total = time.perf_counter() - began
    sound = next(at for at, size in arrived if _audible(bytes(data[:size]), name))
    return Streamed(sound, total)


def _audible(data: bytes, name: OutputFormat) -> bool:
    """Whether a player could begin: something decodes, and not the header alone has come."""
    if name == "pcm":
        return len(data) >= 2
    try:
        with av.open(io.BytesIO(data), "r") as container:
            return any(frame.samples for frame in container.decode(audio=0))
    except av.FFmpegError:
        return False
