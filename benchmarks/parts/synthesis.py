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
from benchmarks.progress import tell
from benchmarks.report import Plot, Report, comparison, real_time_panel
from benchmarks.servers import Running, ours, program, session
from benchmarks.speech_server import wav
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
from tests.integration.server import free_port
from tests.integration.speech_client import Audio, decoded, transcribe
from tests.sentences import SENTENCES

VOICE, JOE, RECOGNISER = "hibari_tts", "joe_tts", "whisper_tiny_en"
COUNTS = {VOICE: 16, JOE: 6}  # of sentences; joe's network is ten times as large
OWN = "its own runtime, one after another"
PIPER = "Piper's server"

Said = dict[int, Callable[[], Audio]]  # by the sentence; decoding it is nobody's work
Ask = Callable[[int, Said], Awaitable[Answers]]
Speak = Callable[[str], Awaitable[bytes]]


async def run(effort: Effort) -> Report:
    """Return a table for each voice and kind of work, and a plot of real-time factors."""
    with contextlib.ExitStack() as stack:
        tell(f"    starting {OURS}")
        server = stack.enter_context(ours(VOICE, JOE, RECOGNISER, "silero_vad"))
        entrants = Entrants(stack)
        hibari = entrants.enter(OWN, functools.partial(_hibari, effort))
        piper = entrants.enter(PIPER, functools.partial(_piper, effort))
        async with session() as http:
            hears = {voice: _Listener(server, SENTENCES[:many]) for voice, many in COUNTS.items()}
            peers: dict[str, tuple[Ask, ProcessTree]] = {}
            if hibari is not None:
                peers[OWN] = (functools.partial(hears[VOICE].lines, hibari), hibari.processes)
            if piper is not None:
                says = functools.partial(_piper_says, http, piper)
                peers[PIPER] = (functools.partial(hears[JOE].client, says), piper.processes)
            texts, works = [], {}
            for voice, peer in ((VOICE, OWN), (JOE, PIPER)):
                listener = hears[voice]
                mine = functools.partial(
                    listener.client, functools.partial(_ours, http, server, voice)
                )
                for connections in (1, COUNTS[voice]):
                    candidates = [listener.candidate(OURS, mine, connections, server.processes)]
                    if peer in peers:
                        ask, processes = peers[peer]
                        candidates.append(listener.candidate(peer, ask, connections, processes))
                    how = "one after another" if connections == 1 else "at once"
                    title = f"`{voice}`, {COUNTS[voice]} sentences {how}"
                    outcomes = await take_turns(candidates, effort.rounds, title)
                    outcomes += [each for each in entrants.absent if each.name == peer]
                    texts.append(f"**{title}**\n\n{comparison(outcomes, listener.sound)}")
                    works[f"{voice},\n{how}"] = (outcomes, dict(listener.sound))
    plot = Plot("synthesis", "Speech", [real_time_panel(works)])
    return Report("\n\n".join(texts), [plot])


class _Listener:
    """Asks candidates for *sentences*, and hears whether they said them."""

    def __init__(self, server: Running, sentences: Sequence[str]) -> None:
        self._server, self._sentences = server, sentences
        self.sound: dict[str, float] = {}  # seconds of all sentences, by who said them

    def candidate(self, name: str, ask: Ask, connections: int, processes: ProcessTree) -> Candidate:
        """Return the candidate *name*, which *ask* asks over *connections*.

        After its first turn its words are compared, and then the length of its speech.
        """
        said: Said = {}
        heard: list[float] = []

        async def check() -> str | None:
            if not said:
                return "nothing was said"
            spoken = {at: said[at]() for at in sorted(said)}
            seconds = [each.seconds for each in spoken.values()]
            self.sound[name] = sum(seconds)
            if heard:
                return other_lengths(seconds, heard)
            heard.extend(seconds)
            async with aiohttp.ClientSession(self._server.url) as http:
                texts = [
                    str((await transcribe(http, wav(each.samples, each.rate)))["transcription"])
                    for each in spoken.values()
                ]
            return misheard(texts, [self._sentences[at] for at in spoken])

        return Candidate(name, functools.partial(ask, connections, said), processes, check)

    async def client(self, speak: Speak, connections: int, said: Said) -> Answers:
        """Ask a server."""

        async def ask(number: int) -> None:
            said[number] = functools.partial(decoded, await speak(self._sentences[number]))

        return await timed(ask, len(self._sentences), connections)

    async def lines(self, peer: LinePeer, connections: int, said: Said) -> Answers:
        """Ask a program: for a sentence a line, or for all in one."""
        if connections == 1:

            async def ask(number: int) -> None:
                took = await asyncio.to_thread(peer.ask, [self._sentences[number]])
                said[number] = functools.partial(_audio, took.answers[0])

            return await timed(ask, len(self._sentences), connections)
        took = await asyncio.to_thread(peer.ask, self._sentences)
        said.update(enumerate(functools.partial(_audio, each) for each in took.answers))
        return answers_of(took.seconds, max(took.seconds), len(self._sentences))


def _audio(answer: Any) -> Audio:
    pcm = base64.b64decode(answer["pcm"])
    samples = np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)
    return Audio(pcm, samples, answer["rate"])


async def _ours(http: aiohttp.ClientSession, server: Running, model: str, text: str) -> bytes:
    body = {"text": text, "model": model, "timeout": 120}
    return await _post(http, f"{server.url}/synthesize", body)


async def _piper_says(http: aiohttp.ClientSession, server: Running, text: str) -> bytes:
    return await _post(http, f"{server.url}/synthesize", {"text": text})


async def _post(http: aiohttp.ClientSession, url: str, body: object) -> bytes:
    async with http.post(url, json=body, headers={"Accept": "audio/*"}) as response:
        if response.status != 200:
            raise NoAnswer(response.status)
        return await response.read()


def _hibari(effort: Effort) -> LinePeer:
    return LinePeer("hibari_alone.py", python=environment("hibari", effort.environments))


@contextlib.contextmanager
def _piper(effort: Effort) -> Iterator[Running]:
    """Run Piper's own server with joe's published graph."""
    python = environment("piper", effort.environments)
    url = f"http://127.0.0.1:{(port := free_port())}"
    with published(JOE) as folder, tempfile.TemporaryDirectory() as name:
        (graph,) = folder.glob("*.onnx")
        command = [python, "-m", "piper.http_server", "--model", str(graph)]
        command += ["--host", "127.0.0.1", "--port", str(port)]
        with program(command, f"{url}/voices", {}, Path(name)) as pid:
            yield Running(url, pid)
