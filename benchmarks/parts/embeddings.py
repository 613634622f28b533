"""MiniLM on texts of mixed lengths: ours, infinity-emb, a plain handler, and the bare model."""

import asyncio
import contextlib
import json
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.answers import far_vectors
from benchmarks.effort import Effort
from benchmarks.own_archive import pack_handler
from benchmarks.peers.environments import HERE, environment
from benchmarks.peers.line_peer import LinePeer
from benchmarks.peers.weights import published
from benchmarks.progress import tell
from benchmarks.report import Report, comparison
from benchmarks.servers import Running, ours, program, session
from benchmarks.texts import mixed_texts
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
from tests.own_archives.plain import plain_torchserve

MODEL = "sentence_transformer"
TEXTS = 400
CONNECTIONS = 32
INFINITY = "infinity-emb, bf16"
PLAIN = "TorchServe, a plain handler in fp32"
LOOPS = (("a loop in bf16, sorted", "bfloat16", 32), ("one by one in fp32", "float32", 1))


async def run(effort: Effort) -> Report:
    """Return one table."""
    texts = mixed_texts(TEXTS)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(published(MODEL))
        tell("    the right vectors")
        with LinePeer("bare_embedder.py", str(folder), "float32", "32") as exact:
            right = (await asyncio.to_thread(exact.ask, texts)).answers
        tell(f"    starting {OURS}")
        server = stack.enter_context(ours(MODEL))
        entrants = Entrants(stack)
        infinity = entrants.enter(INFINITY, partial(_infinity, folder, effort))
        async with session() as http:
            asking = _Asking(http, texts, right)
            candidates = [Candidate(OURS, partial(asking.ours, server), server.processes)]
            if infinity is not None:
                ask = partial(asking.openai, infinity)
                candidates.append(Candidate(INFINITY, ask, infinity.processes))
            plain = entrants.enter(PLAIN, partial(_plain, folder))
            if plain is not None:
                ask = partial(asking.torchserve, plain)
                candidates.append(Candidate(PLAIN, ask, plain.processes))
            for name, dtype, batch in LOOPS:
                start = partial(LinePeer, "bare_embedder.py", str(folder), dtype, str(batch))
                loop = entrants.enter(name, start)
                if loop is not None:
                    ask = partial(asking.loop, loop)
                    candidates.append(Candidate(name, ask, loop.processes))
            outcomes = await take_turns(candidates, effort.rounds, f"{TEXTS} texts")
    text = (
        f"{TEXTS} texts of 3 to 200 words; servers are asked over {CONNECTIONS} connections, and "
        "loops get all at once, so that their p50 and p99 count from the start of the work."
    )
    return Report(f"{text}\n\n{comparison([*outcomes, *entrants.absent])}")


class _Asking:
    """The texts, and how each candidate is asked for their vectors, which must be *right*."""

    def __init__(
        self, http: aiohttp.ClientSession, texts: list[str], right: list[list[float]]
    ) -> None:
        self._http, self._texts, self._right = http, texts, right

    async def ours(self, server: Running) -> Answers:
        """Ask /predict."""

        async def ask(text: str) -> Any:
            body = {"model_name": MODEL, "inputs": text}
            return (await self._post(f"{server.url}/predict", body))["result"]

        return await self._all(ask)

    async def openai(self, server: Running) -> Answers:
        """Ask in OpenAI's form."""

        async def ask(text: str) -> Any:
            answer = await self._post(f"{server.url}/embeddings", {"model": MODEL, "input": [text]})
            return answer["data"][0]["embedding"]

        return await self._all(ask)

    async def torchserve(self, server: Running) -> Answers:
        """Ask TorchServe itself."""

        async def ask(text: str) -> Any:
            return await self._answer(self._http.post(server.url, data=text.encode()))

        return await self._all(ask)

    async def loop(self, peer: LinePeer) -> Answers:
        """Ask for all in one line."""
        took = await asyncio.to_thread(peer.ask, self._texts)
        wrong = far_vectors(took.answers, self._right)
        count = len(self._texts)
        return answers_of(took.seconds, max(took.seconds), count, [wrong] if wrong else [])

    async def _all(self, ask: Callable[[str], Awaitable[list[float]]]) -> Answers:
        found: dict[int, list[float]] = {}

        async def one(number: int) -> None:
            found[number] = await ask(self._texts[number])

        answers = await timed(one, len(self._texts), CONNECTIONS)
        places = sorted(found)
        wrong = far_vectors([found[at] for at in places], [self._right[at] for at in places])
        return answers._replace(wrong=wrong)

    async def _post(self, url: str, body: object) -> Any:
        return await self._answer(self._http.post(url, json=body))

    async def _answer(self, request: AbstractAsyncContextManager[aiohttp.ClientResponse]) -> Any:
        async with request as response:
            if response.status != 200:
                raise NoAnswer(response.status)
            return json.loads(await response.read())


@contextlib.contextmanager
def _plain(weights: Path) -> Iterator[Running]:
    """Run TorchServe alone, with a handler as one writes it first."""
    source = (HERE / "plain_embedder.py").read_text()
    config = (
        "batchSize: 32\nmaxBatchDelay: 10\nminWorkers: 1\nmaxWorkers: 1\n"
        f"handler:\n  folder: {weights}\n"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = pack_handler(folder, source, config, ["plain"])
        with plain_torchserve(folder / "torchserve", store, models=1) as plain:
            yield Running(f"http://127.0.0.1:{plain.port}/predictions/plain", plain.pid)


@contextlib.contextmanager
def _infinity(folder: Path, effort: Effort) -> Iterator[Running]:
    python = environment("infinity", effort.environments)
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [str(Path(python).with_name("infinity_emb")), "v2", "--model-id", str(folder)]
    command += ["--served-model-name", MODEL, "--engine", "torch", "--device", "cpu"]
    command += ["--dtype", "bfloat16", "--batch-size", "32", "--no-model-warmup"]
    command += ["--no-bettertransformer", "--host", "127.0.0.1", "--port", str(port)]
    quiet = {"INFINITY_ANONYMOUS_USAGE_STATS": "0", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
    with (
        tempfile.TemporaryDirectory() as name,
        program(command, f"{url}/health", quiet, Path(name)) as pid,
    ):
        yield Running(url, pid)
