"""A server of the bench's own, limited to some cores, and sound for it to hear."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
import numpy as np

from sidecar.speech.audio_encoder import encode
from sidecar.speech.output_formats import FORMATS
from tests.integration.server import Server
from tests.integration.speech_client import Audio, Samples

TIMEOUT = aiohttp.ClientTimeout(total=None, sock_read=300)  # seconds


@asynccontextmanager
async def serving(
    cores: Sequence[int] | None = None, **settings: str
) -> AsyncIterator[tuple[Server, aiohttp.ClientSession]]:
    """A ready server, all of whose processes are limited to *cores*, and a client's session."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        server = Server(Path(folder), **settings)
        with _limited(cores):
            server.start()
        try:
            await asyncio.to_thread(server.wait_ready)
            if cores is not None:
                _check_limits(server, cores)
            async with aiohttp.ClientSession(server.url, timeout=TIMEOUT) as http:
                yield server, http
        finally:
            await asyncio.to_thread(server.stop)


def wav(samples: Samples, rate: int) -> bytes:
    """Mono samples, −1 to 1, as a WAV file."""
    return encode(pcm(samples), FORMATS["wav"], rate, "high")


def pcm(samples: Samples) -> bytes:
    """Mono samples, −1 to 1, as s16le."""
    return (samples.clip(-1, 1) * 32767).astype("<i2").tobytes()


def joined(parts: Iterable[Audio], *, pause: float) -> Audio:
    """*parts*, of one rate, one after another with *pause* seconds between them."""
    pieces: list[Samples] = []
    rate = 0
    for part in parts:
        rate = part.rate
        pieces += [part.samples, np.zeros(round(pause * rate), np.float32)]
    samples = np.concatenate(pieces)
    return Audio(wav(samples, rate), samples, rate)


def first_seconds(audio: Audio, seconds: float) -> Audio:
    """The beginning of *audio*.  Raises ValueError where there is less than that."""
    count = round(seconds * audio.rate)
    if len(audio.samples) < count:
        raise ValueError(f"there are only {audio.seconds:.1f} s of it")
    samples = audio.samples[:count]
    return Audio(wav(samples, audio.rate), samples, audio.rate)


@contextmanager
def _limited(cores: Sequence[int] | None) -> Iterator[None]:
    """Processes that this thread starts inside inherit the limit, and so do theirs."""
    before = os.sched_getaffinity(0)
    if cores is not None:
        os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _check_limits(server: Server, cores: Sequence[int]) -> None:
    assert server.process is not None
    for pid in [server.process.pid, *(child.pid for child in server.children())]:
        found = os.sched_getaffinity(pid)
        if found != set(cores):
            raise RuntimeError(f"process {pid} runs on {found}, not on {set(cores)}")
