"""The voices: hibari beside its own runtime, and joe beside Piper's server, on the same weights.

All that is spoken is heard by our recogniser: the words must be right.
"""

import asyncio
import base64
import contextlib
import functools
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from benchmarks.answers import misheard, other_lengths
from benchmarks.effort import Effort
from benchmarks.peers.environments import environment
from benchmarks.peers.line_peer import LinePeer
from benchmarks.peers.weights import published
from benchmarks.process_tree import ProcessTree
from benchmarks.report import Report, comparison
from benchmarks.servers import Running, ours, program
from benchmarks.speech_server import wav
from benchmarks.turns import (
    OURS,
    Answers,
    Candidate,
    NoAnswer,
    answers_of,
    take_turns,
    timed,
)
from tests.integration.server import free_port
from tests.integration.speech_client import Audio, decoded, transcribe
from tests.sentences import SENTENCES

VOICE, JOE, RECOGNISER = "hibari_tts", "joe_tts", "whisper_tiny_en"
COUNT = 16
PIPER = "Piper's server"

Ask = Callable[[int, dict[int, Audio]], Awaitable[Answers]]
Speak = Callable[[str], Awaitable[Audio]]


async def run(effort: Effort) -> Report:
    """Return a table for each voice and kind of work."""
    sentences = SENTENCES[:COUNT]
    with contextlib.ExitStack() as stack:
        models = (VOICE, JOE, RECOGNISER, "silero_vad")
        server = stack.enter_context(ours(*models))
        hibari = LinePeer("hibari_alone.py", python=environment("hibari", effort.environments))
        stack.enter_context(hibari)
        piper = stack.enter_context(_piper(effort))
        async with aiohttp.ClientSession() as http:
            listener = _Listener(server, sentences)
            say = functools.partial(_ours, http, server)
            voice, joe = functools.partial(say, VOICE), functools.partial(say, JOE)
            served = functools.partial(_piper_says, http, piper)
            own = functools.partial(listener.lines, hibari)
            texts = []
            for name, connections, speak, label, theirs, processes in (
                (VOICE, 1, voice, "its own runtime", own, hibari.processes),
                (VOICE, COUNT, voice, "its own runtime, in turn", own, hibari.processes),
                (JOE, 1, joe, PIPER, functools.partial(listener.client, served), piper.processes),
                (
                    JOE,
                    COUNT,
                    joe,
                    PIPER,
                    functools.partial(listener.client, served),
                    piper.processes,
                ),
            ):
                mine = functools.partial(listener.client, speak)
                outcomes = await take_turns(
                    [
                        listener.candidate(OURS, mine, connections, server.processes),
                        listener.candidate(label, theirs, connections, processes),
                    ],
                    effort.rounds,
                )
                how = "one after another" if connections == 1 else "at once"
                texts.append(f"**{name}, {COUNT} sentences {how}**\n\n{comparison(outcomes)}")
    return Report("\n\n".join(texts))


class _Listener:
    """Asks candidates for *sentences*, and hears whether they said them."""

    def __init__(self, server: Running, sentences: Sequence[str]) -> None:
        self._server, self._sentences = server, sentences

    def candidate(self, name: str, ask: Ask, connections: int, processes: ProcessTree) -> Candidate:
        """Return the candidate *name*, which *ask* asks over *connections*.

        After its first turn its words are compared, and then the length of its speech.
        """
        spoken: dict[int, Audio] = {}
        heard: list[float] = []

        async def check() -> str | None:
            seconds = [spoken[at].seconds for at in sorted(spoken)]
            if heard:
                return other_lengths(seconds, heard)
            heard.extend(seconds)
            async with aiohttp.ClientSession(self._server.url) as http:
                texts = [
                    str((await transcribe(http, wav(each.samples, each.rate)))["transcription"])
                    for _, each in sorted(spoken.items())
                ]
            return misheard(texts, [self._sentences[at] for at in sorted(spoken)])

        return Candidate(name, functools.partial(ask, connections, spoken), processes, check)

    async def client(self, speak: Speak, connections: int, spoken: dict[int, Audio]) -> Answers:
        """Ask a server."""

        async def ask(number: int) -> None:
            spoken[number] = await speak(self._sentences[number])

        return await timed(ask, len(self._sentences), connections)

    async def lines(self, peer: LinePeer, connections: int, spoken: dict[int, Audio]) -> Answers:
        """Ask a program: for a sentence a line, or for all in one."""
        if connections == 1:

            async def ask(number: int) -> None:
                took = await asyncio.to_thread(peer.ask, [self._sentences[number]])
                spoken[number] = _audio(took.answers[0])

            return await timed(ask, len(self._sentences), connections)
        took = await asyncio.to_thread(peer.ask, self._sentences)
        spoken.update(enumerate(_audio(each) for each in took.answers))
        return answers_of(took.seconds, max(took.seconds), len(self._sentences))


def _audio(answer: Any) -> Audio:
    pcm = base64.b64decode(answer["pcm"])
    samples = np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)
    return Audio(pcm, samples, answer["rate"])


async def _ours(http: aiohttp.ClientSession, server: Running, model: str, text: str) -> Audio:
    body = {"text": text, "model": model, "timeout": 120}
    return await _post(http, f"{server.url}/synthesize", body)


async def _piper_says(http: aiohttp.ClientSession, server: Running, text: str) -> Audio:
    return await _post(http, f"{server.url}/synthesize", {"text": text})


async def _post(http: aiohttp.ClientSession, url: str, body: object) -> Audio:
    async with http.post(url, json=body, headers={"Accept": "audio/*"}) as response:
        if response.status != 200:
            raise NoAnswer(response.status)
        return await asyncio.to_thread(decoded, await response.read())


@contextlib.contextmanager
def _piper(effort: Effort) -> Iterator[Running]:
    """Run Piper's own server with joe's published graph."""
    python = environment("piper", effort.environments)
    url = f"http://127.0.0.1:{(port := free_port())}"
    with published(JOE) as folder, tempfile.TemporaryDirectory(prefix="bench-") as name:
        (graph,) = folder.glob("*.onnx")
        command = [python, "-m", "piper.http_server", "--model", str(graph)]
        command += ["--host", "127.0.0.1", "--port", str(port)]
        with program(command, f"{url}/voices", {}, Path(name)) as pid:
            yield Running(url, pid)
