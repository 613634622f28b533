"""Whisper tiny.en: ours, faster-whisper and onnx-asr, on a clip, on eight at once, on a minute."""

import asyncio
import contextlib
import functools
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import aiohttp
import numpy as np
import soxr

from benchmarks.answers import misheard
from benchmarks.effort import Effort
from benchmarks.machine import cores
from benchmarks.peers.environments import HERE, environment
from benchmarks.peers.line_peer import LinePeer
from benchmarks.peers.weights import published
from benchmarks.progress import tell
from benchmarks.report import Plot, Report, comparison, real_time_panel
from benchmarks.servers import ours, session, unpacked
from benchmarks.speech_server import joined, wav
from benchmarks.turns import (
    OURS,
    Answers,
    Candidate,
    Entrants,
    NoAnswer,
    answers_of,
    take_turns,
    timed,
)
from tests.integration.speech_client import Audio, speak
from tests.sentences import SENTENCES

RECOGNISER = "whisper_tiny_en"
ACTIVITY = "silero_vad"
VOICE = "hibari_tts"
PAUSE = 0.3  # seconds between sentences
RATE = 16000
ALONE = "faster-whisper, int8"
WORKERS = "faster-whisper, int8, two workers"
BATCHED = "faster-whisper, int8, batched"
ONNX = "onnx-asr, int8"
Each = TypeVar("Each")


class Clip(NamedTuple):
    """A file of whole sentences, and what is said in it."""

    file: Path
    said: str
    seconds: float


async def run(effort: Effort) -> Report:
    """Return a table for each kind of work, and a plot of real-time factors."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(unpacked(RECOGNISER))
        tell(f"    starting {OURS}")
        server = stack.enter_context(ours(RECOGNISER, ACTIVITY, VOICE))
        entrants = Entrants(stack)
        peers = {
            name: entrants.enter(name, functools.partial(start, stack, effort))
            for name, start in PEERS.items()
        }
        async with session(server.url) as http:
            works = await _works(http, folder)
            found = {}
            for work in works:
                candidates = [
                    Candidate(OURS, functools.partial(_ours, http, work.clips), server.processes)
                ]
                for name in work.beside:
                    peer = peers[name]
                    if peer is not None:
                        asked = functools.partial(_asked, peer, work.clips)
                        candidates.append(Candidate(name, asked, peer.processes))
                absent = [each for each in entrants.absent if each.name in work.beside]
                outcomes = await take_turns(candidates, effort.rounds, work.name)
                found[work] = [*outcomes, *absent]
    texts = [
        f"**{work.name}**\n\n{comparison(outcomes, work.sound)}" for work, outcomes in found.items()
    ]
    panel = real_time_panel({work.short: (each, work.sound) for work, each in found.items()})
    return Report("\n\n".join(texts), [Plot("recognition", "Whisper tiny.en", [panel])])


class _Work(NamedTuple):
    """Clips that are heard together, and the peers that hear them too."""

    name: str
    short: str
    clips: tuple[Clip, ...]
    beside: tuple[str, ...]

    @property
    def sound(self) -> dict[str, float]:
        """The seconds that each candidate hears."""
        return dict.fromkeys((OURS, *self.beside), sum(clip.seconds for clip in self.clips))


async def _works(http: aiohttp.ClientSession, folder: Path) -> list[_Work]:
    """Return all work, spoken by our own voice into *folder*."""
    tell("    speaking the clips")
    spoken = [await speak(http, text, model=VOICE) for text in SENTENCES]
    clips = [await asyncio.to_thread(_clip, spoken, at, 10.0, folder) for at in range(8)]
    minute = await asyncio.to_thread(_clip, spoken, 0, 60.0, folder)
    return [
        _Work("A clip of 10 s", "10 s", (clips[0],), (ALONE, ONNX)),
        _Work("Eight clips of 10 s at once", "8 × 10 s", tuple(clips), (WORKERS, ALONE, ONNX)),
        _Work("A clip of 60 s", "60 s", (minute,), (BATCHED, ALONE, ONNX)),
    ]


def _faster_whisper(how: str, stack: contextlib.ExitStack, effort: Effort) -> LinePeer:
    weights = stack.enter_context(published(RECOGNISER))
    arguments = (str(weights), how, str(len(cores())))
    python = environment("faster_whisper", effort.environments)
    return LinePeer("faster_whisper_alone.py", *arguments, python=python)


def _onnx(stack: contextlib.ExitStack, effort: Effort) -> LinePeer:
    activity = stack.enter_context(published(ACTIVITY))
    arguments = (str(_exported(effort)), str(activity), "int8")
    python = environment("onnx_asr", effort.environments)
    return LinePeer("onnx_asr_alone.py", *arguments, python=python)


PEERS: dict[str, Callable[[contextlib.ExitStack, Effort], LinePeer]] = {
    ALONE: functools.partial(_faster_whisper, "alone"),
    WORKERS: functools.partial(_faster_whisper, "workers"),
    BATCHED: functools.partial(_faster_whisper, "batched"),
    ONNX: _onnx,
}


def _exported(effort: Effort) -> Path:
    """Return a folder with our checkpoint as optimum exports it, and in int8 by onnxruntime."""
    python = environment("whisper_onnx", effort.environments)
    place = effort.environments / "whisper_onnx" / "exported"
    if not (place / "done").exists():
        shutil.rmtree(place, ignore_errors=True)
        with unpacked(RECOGNISER) as folder:
            command = [python, str(HERE / "export_whisper.py"), str(folder), str(place)]
            subprocess.run(command, check=True)
        (place / "done").touch()
    return place


async def _ours(http: aiohttp.ClientSession, clips: Sequence[Clip]) -> Answers:
    heard: dict[int, str] = {}

    async def ask(number: int) -> None:
        data = await asyncio.to_thread(clips[number].file.read_bytes)
        form = aiohttp.FormData()
        form.add_field("file", data, filename="clip.wav", content_type="audio/wav")
        async with http.post("/transcribe", data=form) as response:
            if response.status != 200:
                raise NoAnswer(response.status)
            heard[number] = (await response.json())["transcription"]

    answers = await timed(ask, len(clips), len(clips))
    return answers._replace(
        wrong=misheard([heard.get(at, "") for at in range(len(clips))], [c.said for c in clips])
    )


async def _asked(peer: LinePeer, clips: Sequence[Clip]) -> Answers:
    took = await asyncio.to_thread(peer.ask, [str(each.file) for each in clips])
    wrong = misheard(took.answers, [each.said for each in clips])
    return answers_of(took.seconds, max(took.seconds), len(clips), [wrong] if wrong else [])


def _clip(spoken: Sequence[Audio], first: int, seconds: float, folder: Path) -> Clip:
    """Return whole sentences from *first* on, and silence until there are *seconds*."""
    count = 1
    while joined(_turned(spoken, first, count + 1), pause=PAUSE).seconds <= seconds:
        count += 1
    audio = joined(_turned(spoken, first, count), pause=PAUSE)
    samples = soxr.resample(audio.samples, audio.rate, RATE)
    whole = np.zeros(round(seconds * RATE), np.float32)
    whole[: len(samples)] = samples
    file = folder / f"clip{first}-{seconds:g}.wav"
    file.write_bytes(wav(whole, RATE))
    return Clip(file, " ".join(_turned(SENTENCES, first, count)), seconds)


def _turned(every: Sequence[Each], first: int, count: int) -> list[Each]:
    return [every[(first + at) % len(every)] for at in range(count)]
