"""`python -m benchmarks.speech`: how fast the service speaks and listens, on one core and on two.

The real-time factor is the seconds that the client waited, by the seconds of audio: below 1 is
faster than real time.  The server's processes are limited to the cores; the client is not.
"""

import argparse
import asyncio
import io
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Generic, NamedTuple, TypeVar

import aiohttp
import av

from benchmarks.machine import cores, description
from benchmarks.speech_server import first_seconds, joined, serving
from sidecar.schemas.synthesis import OutputFormat
from sidecar.speech.output_formats import FORMATS
from tests.integration.speech_client import Audio, speak, transcribe
from tests.sentences import SENTENCES

VOICE = "hibari_tts"
RECOGNISER = "whisper_tiny_en"
TEXT_CHARACTERS = 3000
PAUSE = 0.3  # seconds between joined sentences
CLIP_SECONDS = 10.0

Result = TypeVar("Result")


class Effort(NamedTuple):
    """How much of everything is done."""

    sentences: int
    repeats: int  # the best of them counts
    streams: int  # the median of them counts
    speak_at_once: int
    hear_at_once: int


FULL = Effort(len(SENTENCES), 2, 3, 16, 8)
QUICK = Effort(12, 1, 1, 8, 4)


class Timed(NamedTuple, Generic[Result]):
    """What some work gave, and the seconds that it took."""

    seconds: float
    result: Result


class Streamed(NamedTuple):
    """One streamed text: seconds to the first byte, to the first sound, and until all had come."""

    byte: float
    sound: float
    total: float


def main(arguments: Sequence[str]) -> int:
    """Prints the tables.  Returns 2 when there are fewer cores than asked for."""
    parser = argparse.ArgumentParser(prog="scripts/bench_speech", description=__doc__)
    parser.add_argument("--cores", nargs="+", type=int, default=[1, 2], help="how many, each time")
    parser.add_argument("--quick", action="store_true", help="less of everything, each once")
    options = parser.parse_args(arguments)
    print(description(), flush=True)
    there = cores()
    for count in options.cores:
        if not 1 <= count <= len(there):
            print(f"bench_speech: {count} cores asked for, {len(there)} there", file=sys.stderr)
            return 2
        asyncio.run(_measure(there[:count], QUICK if options.quick else FULL))
    return 0


async def _measure(limit: list[int], effort: Effort) -> None:
    async with serving(limit) as (_, http):
        print(f"\n{len(limit)} core{'s' if len(limit) > 1 else ''}\n")
        spoken = await _speaking(http, effort)
        await _listening(http, effort, spoken)
        await _streaming(http, effort)
        await _speaking_at_once(http, effort)
        await _hearing_at_once(http, effort, spoken)


async def _speaking(http: aiohttp.ClientSession, effort: Effort) -> list[Audio]:
    """Prints the voice's real-time factor; what it said."""
    sentences = SENTENCES[: effort.sentences]
    await speak(http, sentences[0], model=VOICE)  # the first one warms up
    taken, spoken = await _best(effort.repeats, lambda: _in_turn(http, sentences))
    seconds = sum(audio.seconds for audio in spoken)
    _row(f"{VOICE}, {len(sentences)} sentences", f"{seconds:.1f} s of speech", taken, seconds)
    return spoken


async def _listening(http: aiohttp.ClientSession, effort: Effort, spoken: list[Audio]) -> None:
    recording = joined(spoken, pause=PAUSE)
    for seconds in (10.0, 30.0):
        if seconds > recording.seconds:
            continue
        clip = first_seconds(recording, seconds)
        await transcribe(http, clip.data)
        taken, _ = await _best(effort.repeats, partial(transcribe, http, clip.data))
        _row(RECOGNISER, f"{seconds:.0f} s recording", taken, seconds)


async def _streaming(http: aiohttp.ClientSession, effort: Effort) -> None:
    text = long_text()
    print(
        f"\n{len(text)} characters streamed {'first byte s':>15} {'first audio s':>14} {'all s':>8}"
    )
    rounds = [
        {name: await _stream(http, text, name) for name in FORMATS} for _ in range(effort.streams)
    ]
    for name in FORMATS:
        runs = (each[name] for each in rounds)
        byte, sound, total = (statistics.median(times) for times in zip(*runs, strict=True))
        print(f"  {name:24} {byte:13.3f} {sound:14.3f} {total:8.2f}", flush=True)


async def _speaking_at_once(http: aiohttp.ClientSession, effort: Effort) -> None:
    sentences = SENTENCES[: effort.speak_at_once]
    await _compare(
        f"{len(sentences)} sentences to speak",
        lambda: _in_turn(http, sentences),
        lambda: asyncio.gather(*(speak(http, text, model=VOICE) for text in sentences)),
        effort.repeats,
    )


async def _hearing_at_once(
    http: aiohttp.ClientSession, effort: Effort, spoken: list[Audio]
) -> None:
    clips = _clips(spoken, effort.hear_at_once)

    async def in_turn() -> None:
        for clip in clips:
            await transcribe(http, clip.data)

    await _compare(
        f"{len(clips)} clips of {CLIP_SECONDS:.0f} s to hear",
        in_turn,
        lambda: asyncio.gather(*(transcribe(http, clip.data) for clip in clips)),
        effort.repeats,
    )


async def _compare(
    what: str,
    in_turn: Callable[[], Awaitable[object]],
    at_once: Callable[[], Awaitable[object]],
    repeats: int,
) -> None:
    """Prints the best time of each; they take turns, so that a slow minute hits both."""
    rounds = [
        ((await _timed(in_turn)).seconds, (await _timed(at_once)).seconds) for _ in range(repeats)
    ]
    turns, once = (min(times) for times in zip(*rounds, strict=True))
    print(
        f"\n{what}\n  one after another {turns:.2f} s, at once {once:.2f} s:"
        f" {turns / once:.2f} times as fast",
        flush=True,
    )


async def _in_turn(http: aiohttp.ClientSession, sentences: Sequence[str]) -> list[Audio]:
    return [await speak(http, text, model=VOICE) for text in sentences]


async def _best(repeats: int, work: Callable[[], Awaitable[Result]]) -> Timed[Result]:
    """The quickest of *repeats*."""
    runs = [await _timed(work) for _ in range(repeats)]
    return min(runs, key=lambda run: run.seconds)


async def _timed(work: Callable[[], Awaitable[Result]]) -> Timed[Result]:
    began = time.perf_counter()
    result = await work()
    return Timed(time.perf_counter() - began, result)


async def first_audio(http: aiohttp.ClientSession, text: str, name: OutputFormat) -> float:
    """Seconds until a player could begin with the stream of *text*."""
    return (await _stream(http, text, name)).sound


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
    return Streamed(arrived[0][0], sound, total)


def _audible(data: bytes, name: OutputFormat) -> bool:
    """Whether a player could begin: something decodes, and not the header alone has come."""
    if name == "pcm":
        return len(data) >= 2
    try:
        with av.open(io.BytesIO(data), "r") as container:
            return any(frame.samples for frame in container.decode(audio=0))
    except av.FFmpegError:
        return False


def long_text() -> str:
    """Whole sentences, at most TEXT_CHARACTERS."""
    text = SENTENCES[0]
    place = 1
    while len(text) + 1 + len(SENTENCES[place]) <= TEXT_CHARACTERS:
        text = f"{text} {SENTENCES[place]}"
        place = (place + 1) % len(SENTENCES)
    return text


def _clips(spoken: list[Audio], count: int) -> list[Audio]:
    """*count* clips, each beginning with another sentence."""
    turned = (spoken[place:] + spoken[:place] for place in range(count))
    return [first_seconds(joined(each, pause=PAUSE), CLIP_SECONDS) for each in turned]


def _row(name: str, what: str, taken: float, seconds: float) -> None:
    factor = taken / seconds
    print(
        f"{name:28} {what:20} {taken:7.2f} s  real-time factor {factor:.4f}"
        f" ({1 / factor:.0f} times real time)",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
