"""The first sound of a long text in every format, alone and among others, and gaps in all of it."""

import asyncio
import bisect
import contextlib
import io
import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

import aiohttp
import av

from benchmarks.effort import Effort
from benchmarks.progress import tell
from benchmarks.report import Report, table
from benchmarks.servers import ours, session
from benchmarks.texts import long_text
from sidecar.schemas.synthesis import OutputFormat
from sidecar.speech.output_formats import FORMATS
from tests.integration.speech_client import decoded

VOICE = "hibari_tts"
CHARACTERS = 3000
CLIENTS = tuple(f"127.0.0.{n}" for n in range(2, 10))  # eight, of which each has its own share
CROWDS = 3  # for each round, so that there is a 95th percentile
PAUSE_SECONDS = 0.5  # after a crowd, in which its work ends
PCM_BYTES_PER_SECOND = 48_000
PCM_STEP = 480  # bytes of it, a hundredth of a second
FASTEST_SPEECH = 25.0  # characters a second; an answer with fewer seconds lacks some of the text


class Arrived(NamedTuple):
    """A whole file, and when how much of it had come: seconds, and bytes so far."""

    data: bytes
    reads: Sequence[tuple[float, int]]


class Streamed(NamedTuple):
    """Seconds until a player could begin, until all had come, and of sound in it.

    A player needs *size* bytes to begin.  For *silence* seconds it had nothing to play afterwards.
    """

    sound: float
    size: int
    total: float
    audio: float
    silence: float


async def run(effort: Effort) -> Report:
    """Return one table.  Raises ValueError for an answer that is not the whole text."""
    text = long_text(CHARACTERS)
    rows = []
    with ours(VOICE) as server:
        async with contextlib.AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(session(server.url, address)) for address in CLIENTS
            ]
            http = clients[0]
            for name in FORMATS:
                tell(f"    {name}")
                alone = [
                    _judged(await _hear(http, text, name), text, name)
                    for _ in range(effort.rounds + 1)
                ][1:]
                size = max(each.size for each in alone)
                crowd = [
                    each
                    for _ in range(effort.rounds * CROWDS)
                    for each in await _crowd(clients, text, name, size)
                ]
                together = await asyncio.gather(*(_hear(each, text, name) for each in clients))
                silence = max(_judged(each, text, name).silence for each in together)
                first = statistics.median(each.sound for each in alone)
                last = statistics.median(each.total for each in alone)
                factor = statistics.median(each.total / each.audio for each in alone)
                p95 = statistics.quantiles(crowd, n=20)[-1]
                figures = (f"{first:.3f}", f"{last:.2f}", f"{factor:.4f}", f"{p95:.3f}")
                rows.append([f"`{name}`", *figures, f"{silence:.2f}"])
    head = ["", "first sound, s", "all, s", "real-time factor"]
    head.append(f"first sound with {len(CLIENTS)} clients, p95, s")
    head.append(f"most silence that one of {len(CLIENTS)} players had later, s")
    return Report(f"{len(text)} characters with `{VOICE}`:\n\n{table(head, rows)}")


async def _hear(http: aiohttp.ClientSession, text: str, name: OutputFormat) -> Arrived:
    """Hear all of *text*."""
    reads: list[tuple[float, int]] = []
    data = bytearray()
    began = time.perf_counter()
    async with http.post("/synthesize", json=_body(text, name)) as response:
        response.raise_for_status()
        async for chunk in response.content.iter_any():
            data += chunk
            reads.append((time.perf_counter() - began, len(data)))
    return Arrived(bytes(data), reads)


def _judged(arrived: Arrived, text: str, name: OutputFormat) -> Streamed:
    """Return what a player makes of it.  Raises ValueError where some of *text* is missing."""
    data, reads = arrived
    size = needed(data, name)
    sound = next(seconds for seconds, came in reads if came >= size)
    audio = decoded(data, name).seconds
    if audio < len(text) / FASTEST_SPEECH:
        raise ValueError(f"{name}: {len(text)} characters were said in {audio:.1f} s")
    return Streamed(sound, size, reads[-1][0], audio, silence_of(reads, playable_of(data, name)))


def playable_of(data: bytes, name: OutputFormat) -> list[tuple[int, float]]:
    """Return, ascending, how many seconds can be played once so many bytes have come."""
    if name == "pcm":
        ends = range(PCM_STEP, len(data) + 1, PCM_STEP)
        return [(end, end / PCM_BYTES_PER_SECOND) for end in ends]
    playable: list[tuple[int, float]] = []
    seconds, place, end = 0.0, -1, 0
    with av.open(io.BytesIO(data), "r") as container:
        for packet in container.demux(audio=0):
            if packet.size and packet.duration and packet.time_base:
                begins = packet.pos or 0  # of a page, which may hold several packets
                end = max(end, (end if begins == place else begins) + packet.size)
                place = begins
                seconds += float(packet.duration * packet.time_base)
                playable.append((end, seconds))
    return playable


def silence_of(reads: Sequence[tuple[float, int]], playable: Sequence[tuple[int, float]]) -> float:
    """Return for how many seconds a player that began as soon as it could had nothing to play."""
    ends = [end for end, _ in playable]
    clock = there = played = silence = 0.0
    for seconds, came in reads:
        count = bisect.bisect_right(ends, came)
        if not count:
            continue
        if there:
            passed = seconds - clock
            silence += max(0.0, passed - (there - played))
            played = min(there, played + passed)
        clock, there = seconds, playable[count - 1][1]
    return silence


async def _crowd(
    clients: Sequence[aiohttp.ClientSession], text: str, name: OutputFormat, size: int
) -> list[float]:
    """Return when each of *clients* had *size* bytes, with which a player can begin.

    None of them leaves before all have.  What came is looked at when all have left.
    """
    everybody = asyncio.Barrier(len(clients))
    came: list[bytes] = []

    async def hear(http: aiohttp.ClientSession) -> float:
        data = bytearray()
        began = time.perf_counter()
        async with http.post("/synthesize", json=_body(text, name)) as response:
            response.raise_for_status()
            async for chunk in response.content.iter_any():
                data += chunk
                if len(data) >= size:
                    break
            heard = time.perf_counter() - began
            await everybody.wait()
        came.append(bytes(data))
        return heard

    times = await asyncio.gather(*(hear(http) for http in clients))
    if not all(_audible(data, name) for data in came):
        raise ValueError(f"{name}: a client had nothing to hear after {size} bytes")
    await asyncio.sleep(PAUSE_SECONDS)
    return times


def _body(text: str, name: OutputFormat) -> dict[str, object]:
    return {"text": text, "model": VOICE, "output_format": name, "enable_streaming": True}


def needed(data: bytes, name: OutputFormat) -> int:
    """Return with how many of the first bytes of *data* a player can begin.

    What came at once does not tell: a client may find two parts of a stream in one read.
    """
    return bisect.bisect_left(range(len(data)), True, key=lambda size: _audible(data[:size], name))


def _audible(data: bytes, name: OutputFormat) -> bool:
    """Whether a player could begin: something decodes, and not the header alone has come."""
    if name == "pcm":
        return len(data) >= 2
    try:
        with av.open(io.BytesIO(data), "r") as container:
            return any(frame.samples for frame in container.decode(audio=0))
    except av.FFmpegError:
        return False
