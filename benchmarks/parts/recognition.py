"""Whisper tiny.en: ours, faster-whisper and onnx-asr, on a clip, on eight at once, on a minute."""

import asyncio
import contextlib
import functools
import shutil
import subprocess
from collections.abc import Sequence
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
from benchmarks.report import Report, comparison
from benchmarks.servers import ours, unpacked
from benchmarks.speech_server import joined, wav
from benchmarks.turns import OURS, Answers, Candidate, answers_of, take_turns, timed
from tests.integration.speech_client import Audio, speak, transcribe
from tests.sentences import SENTENCES

RECOGNISER = "whisper_tiny_en"
ACTIVITY = "silero_vad"
VOICE = "hibari_tts"
PAUSE = 0.3  # seconds between sentences
RATE = 16000
Each = TypeVar("Each")


class Clip(NamedTuple):
    """A file of whole sentences, and what is said in it."""

    file: Path
    said: str


async def run(effort: Effort) -> Report:
    """Return a table for each kind of work."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(unpacked(RECOGNISER))
        server = stack.enter_context(ours(RECOGNISER, ACTIVITY, VOICE))
        async with aiohttp.ClientSession(server.url) as http:
            spoken = [await speak(http, text, model=VOICE) for text in SENTENCES]
            clips = [await asyncio.to_thread(_clip, spoken, at, 10.0, folder) for at in range(8)]
            minute = await asyncio.to_thread(_clip, spoken, 0, 60.0, folder)
            peers = _Peers(stack, effort)
            work = {
                "A clip of 10 s": ([clips[0]], ("alone", "onnx")),
                "Eight clips of 10 s at once": (clips, ("workers", "alone", "onnx")),
                "A clip of 60 s": ([minute], ("batched", "alone", "onnx")),
            }
            texts = []
            for name, (files, beside) in work.items():
                candidates = [
                    Candidate(OURS, functools.partial(_ours, http, files), server.processes)
                ]
                for each in beside:
                    peer = peers.get(each)
                    asked = functools.partial(_asked, peer, files)
                    candidates.append(Candidate(NAMES[each], asked, peer.processes))
                outcomes = await take_turns(candidates, effort.rounds)
                texts.append(f"**{name}**\n\n{comparison(outcomes)}")
    return Report("\n\n".join(texts))


NAMES = {
    "alone": "faster-whisper, int8",
    "workers": "faster-whisper, int8, two workers",
    "batched": "faster-whisper, int8, batched",
    "onnx": "onnx-asr, int8",
}


class _Peers:
    """Starts each peer when it is first asked for."""

    def __init__(self, stack: contextlib.ExitStack, effort: Effort) -> None:
        self._stack, self._effort = stack, effort
        self._peers: dict[str, LinePeer] = {}

    def get(self, name: str) -> LinePeer:
        """Return the peer *name*, which runs."""
        if name not in self._peers:
            peer = self._onnx() if name == "onnx" else self._faster_whisper(name)
            self._peers[name] = self._stack.enter_context(peer)
        return self._peers[name]

    def _faster_whisper(self, how: str) -> LinePeer:
        weights = self._stack.enter_context(published(RECOGNISER))
        arguments = (str(weights), how, str(len(cores())))
        python = environment("faster_whisper", self._effort.environments)
        return LinePeer("faster_whisper_alone.py", *arguments, python=python)

    def _onnx(self) -> LinePeer:
        activity = self._stack.enter_context(published(ACTIVITY))
        arguments = (str(_exported(self._effort)), str(activity), "int8")
        python = environment("onnx_asr", self._effort.environments)
        return LinePeer("onnx_asr_alone.py", *arguments, python=python)


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
        heard[number] = str((await transcribe(http, data))["transcription"])

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
    return Clip(file, " ".join(_turned(SENTENCES, first, count)))


def _turned(every: Sequence[Each], first: int, count: int) -> list[Each]:
    return [every[(first + at) % len(every)] for at in range(count)]
