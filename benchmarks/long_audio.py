"""`python -m benchmarks.long_audio`: transcribes an hour of speech, and measures the memory used.

The hour consists of sentences of the server's own voice, repeated with pauses between them.  It
fails if the sidecar grows by more than GROWTH_MIB, if the segments overlap or are out of order, or
if they leave out a stretch longer than LONGEST_GAP.
"""

import argparse
import asyncio
import io
import itertools
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, get_args

import aiohttp
import psutil

from benchmarks.machine import description
from benchmarks.speech_server import pcm, serving
from sidecar.schemas.synthesis import OutputFormat
from sidecar.speech.audio_encoder import StreamEncoder
from sidecar.speech.output_formats import FORMATS
from tests.integration.server import Server
from tests.integration.speech_client import Audio, speak
from tests.integration.word_errors import word_error_rate
from tests.sentences import SENTENCES

GROWTH_MIB = 150.0
LONGEST_GAP = 10.0  # seconds without a segment
PAUSES = (0.3, 2.0)  # seconds, the shortest and the longest
WORKERS = ("whisper_tiny_en", "silero_vad")
SIDECAR = "sidecar"
FILES = [name for name in get_args(OutputFormat) if name != "pcm"]  # which no header describes
MIB = 2**20


class Recording(NamedTuple):
    """A recording.  *said* has all of its words."""

    data: bytes
    seconds: float
    said: str


class Segment(NamedTuple):
    """One `segment` event: seconds in the recording, and its arrival after the request."""

    start: float
    end: float
    text: str
    arrived: float


class Memory:
    """The resident memory of processes in MiB, by their names, read once a second."""

    def __init__(self, processes: dict[str, psutil.Process]) -> None:
        self._processes = processes
        self._seen = [self._now()]

    @property
    def names(self) -> list[str]:
        """The names of the processes."""
        return list(self._processes)

    async def watch(self) -> None:
        """Read the memory until cancelled."""
        while True:
            await asyncio.sleep(1)
            self._seen.append(self._now())

    def before(self, name: str) -> float:
        """Return the memory before the request."""
        return self._seen[0][name]

    def halfway(self, name: str) -> float:
        """Return the peak in the first half of the time; a leak continues after it."""
        return max(seen[name] for seen in self._seen[: len(self._seen) // 2 + 1])

    def peak(self, name: str) -> float:
        """Return the peak."""
        return max(seen[name] for seen in self._seen)

    def _now(self) -> dict[str, float]:
        return {name: each.memory_info().rss / MIB for name, each in self._processes.items()}


def main(arguments: Sequence[str]) -> int:
    """Print the results.  Return 1 if a check failed."""
    parser = argparse.ArgumentParser(prog="scripts/check_long_audio", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--format", choices=FILES, default="flac")
    options = parser.parse_args(arguments)
    print(description(), flush=True)
    return asyncio.run(_check(options.minutes * 60, options.format))


async def _check(seconds: float, name: OutputFormat) -> int:
    async with serving() as (server, http):
        recording = await _record(http, seconds, name)
        print(
            f"\n{recording.seconds / 60:.1f} minutes of speech as {name}:"
            f" {len(recording.data) / MIB:.1f} MiB",
            flush=True,
        )
        memory = Memory(_processes(server))
        watching = asyncio.create_task(memory.watch())
        began = time.perf_counter()
        segments = [each async for each in _segments(http, recording, name)]
        taken = time.perf_counter() - began
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
    _print(recording, segments, memory, taken)
    complaints = [*_time_faults(segments, recording.seconds), *_memory_faults(memory)]
    for complaint in complaints:
        print(f"check_long_audio: {complaint}")
    return 1 if complaints else 0


async def _record(http: aiohttp.ClientSession, seconds: float, name: OutputFormat) -> Recording:
    """At least *seconds* of speech; it ends with a whole sentence.  Always the same pauses."""
    spoken = [await speak(http, text) for text in SENTENCES]
    return await asyncio.to_thread(_encode, spoken, seconds, name)


def _encode(spoken: list[Audio], seconds: float, name: OutputFormat) -> Recording:
    rate = spoken[0].rate
    chance = random.Random(1)
    said, data, samples = [], bytearray(), 0
    with StreamEncoder(FORMATS[name], rate, "high") as encoder:
        for text, audio in itertools.cycle(zip(SENTENCES, spoken, strict=True)):
            pause = round(chance.uniform(*PAUSES) * rate)
            data += encoder.encode(bytes(2 * pause) + pcm(audio.samples))
            samples += pause + len(audio.samples)
            said.append(text)
            if samples >= seconds * rate:
                break
        data += encoder.finish()
    return Recording(bytes(data), samples / rate, " ".join(said))


def _processes(server: Server) -> dict[str, psutil.Process]:
    """The sidecar, and the workers by their models: each works in its model's folder."""
    assert server.process is not None
    found = {SIDECAR: psutil.Process(server.process.pid)}
    for worker in server.workers():
        manifest = Path(worker.cwd(), "MAR-INF", "MANIFEST.json")
        model = json.loads(manifest.read_text())["model"]["modelName"]
        if model in WORKERS:
            found[model] = worker
    missing = set(WORKERS) - set(found)
    if missing:
        raise RuntimeError(f"no worker of {', '.join(missing)} was found")
    return found


async def _segments(
    http: aiohttp.ClientSession, recording: Recording, name: OutputFormat
) -> AsyncIterator[Segment]:
    """Yield the segments as they arrive.  Raises RuntimeError if the stream ends with an error."""
    form = aiohttp.FormData()
    form.add_field("file", io.BytesIO(recording.data), filename=f"hour.{name}")
    form.add_field("stream", "true")
    began = time.perf_counter()
    async with http.post("/transcribe", data=form) as response:
        if response.status != 200:
            raise RuntimeError(f"{response.status}: {await response.text()}")
        async for event, data in _events(response):
            if event == "done":
                return
            if event != "segment":
                raise RuntimeError(f"the stream ended with {event}: {data}")
            arrived = time.perf_counter() - began
            yield Segment(data["start"], data["end"], data["text"], arrived)
    raise RuntimeError("the stream ended early")


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, Any]]:
    """Each event's name and data.  The last one holds all segments: too long for readline."""
    waiting = bytearray()
    async for chunk in response.content.iter_any():
        waiting += chunk
        while (end := waiting.find(b"\n\n")) >= 0:
            first, _, second = bytes(waiting[:end]).partition(b"\n")
            del waiting[: end + 2]
            yield (
                first.removeprefix(b"event: ").decode(),
                json.loads(second.removeprefix(b"data: ")),
            )


def _time_faults(segments: list[Segment], seconds: float) -> Iterator[str]:
    """Return what is wrong with the times of the segments."""
    if not segments:
        yield "no segments"
        return
    for segment in segments:
        if not 0 <= segment.start < segment.end <= seconds + 1:
            yield f"a segment from {segment.start} s to {segment.end} s"
    for one, other in itertools.pairwise(segments):
        if other.start < one.start:
            yield f"{other.start} s comes after {one.start} s"
        if other.start < one.end - 0.1:
            yield f"segments overlap: one to {one.end} s, the next from {other.start} s"
    longest = _longest_gap(segments, seconds)
    if longest > LONGEST_GAP:
        yield f"{longest:.1f} s without a segment"


def _longest_gap(segments: list[Segment], seconds: float) -> float:
    ends = [0.0, *(each.end for each in segments)]
    starts = [*(each.start for each in segments), seconds]
    return max(start - end for end, start in zip(ends, starts, strict=True))


def _memory_faults(memory: Memory) -> Iterator[str]:
    grown = memory.peak(SIDECAR) - memory.before(SIDECAR)
    if grown > GROWTH_MIB:
        yield f"the sidecar grew by {grown:.0f} MiB"


def _print(recording: Recording, segments: list[Segment], memory: Memory, taken: float) -> None:
    heard = " ".join(each.text for each in segments)
    print(f"  {taken:.1f} s: {recording.seconds / taken:.1f} times real time")
    if segments:
        print(
            f"  {len(segments)} segments, the first after {segments[0].arrived:.1f} s;"
            f" from {segments[0].start:.1f} s to {segments[-1].end:.1f} s of"
            f" {recording.seconds:.1f} s, longest gap"
            f" {_longest_gap(segments, recording.seconds):.1f} s"
        )
        print(f"  word error rate {word_error_rate([recording.said], [heard]):.3f}")
    print(f"\n  {'MiB resident':20} {'before':>8} {'halfway':>8} {'peak':>8} {'grown':>8}")
    for name in memory.names:
        before, halfway, peak = memory.before(name), memory.halfway(name), memory.peak(name)
        print(f"  {name:20} {before:8.0f} {halfway:8.0f} {peak:8.0f} {peak - before:8.0f}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
