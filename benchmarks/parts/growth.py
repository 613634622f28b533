"""How cost grows with the number of models, of workers, and with the length of a text.

The growth with connections is in the table of the example network.
"""

import contextlib
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from benchmarks.effort import Effort
from benchmarks.parts.archives import BATCH_SIZE, NAME, our_server
from benchmarks.process_tree import MIB, own_cpu_seconds
from benchmarks.report import Report, number, table
from benchmarks.servers import ours
from benchmarks.texts import long_text, mixed_texts
from benchmarks.turns import Answers, NoAnswer, timed
from tests.integration.server import SECRET
from tests.integration.tokens import bearer

PASS_MS = 15
MODELS = (1, 4, 8)
WORKERS = (1, 2, 4)
WORDS = (5, 20, 80, 160)
CHARACTERS = (100, 300, 1000, 3000)
CONNECTIONS = 64
EMBEDDER, VOICE = "sentence_transformer", "hibari_tts"


async def run(effort: Effort) -> Report:
    """Return four tables."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        models = [await _with_models(folder, count, effort) for count in MODELS]
        workers = await _with_workers(folder, effort)
    words, characters = await _with_texts(effort)
    head_texts = ["", "answers/s", "p50 ms", "p99 ms"]
    tables = [
        f"**Models**, each with a worker, one of which is asked over {CONNECTIONS} connections; "
        f"a batch of {BATCH_SIZE} takes {PASS_MS} ms:\n\n"
        + table(
            ["models", "answers/s", "p50 ms", "sidecar CPU s per 1,000", "sidecar MiB"], models
        ),
        f"**Workers** of one such model, {CONNECTIONS} connections:\n\n"
        + table(["workers", *head_texts[1:]], workers),
        f"**Text length**, `{EMBEDDER}`, 8 connections:\n\n"
        + table(["words", *head_texts[1:]], words),
        f"**Text length**, `{VOICE}`, one client:\n\n"
        + table(["characters", "seconds", "ms a character"], characters),
    ]
    return Report("\n\n".join(tables))


async def _with_models(folder: Path, count: int, effort: Effort) -> list[str]:
    with our_server(folder, f"models-{count}", PASS_MS, count) as server:
        await _load(server.url, effort)
        sidecar = psutil.Process(server.pid)
        before = own_cpu_seconds(sidecar)
        load = await _load(server.url, effort)
        cost = (own_cpu_seconds(sidecar) - before) / load.answered * 1000
        rate = number(load.answered / load.seconds)
        memory = f"{sidecar.memory_info().rss / MIB:.0f}"
        return [str(count), rate, number(load.p50_ms), number(cost), memory]


async def _with_workers(folder: Path, effort: Effort) -> list[list[str]]:
    rows = []
    with our_server(folder, "workers", PASS_MS, most_workers=max(WORKERS)) as server:
        base = server.url.partition("/predictions")[0]
        async with aiohttp.ClientSession(base, headers=bearer("admin", SECRET)) as http:
            for count in WORKERS:
                path = f"/models/{NAME}/scale"
                async with http.post(path, json={"workers": count}) as response:
                    response.raise_for_status()
                await _load(server.url, effort)
                rows.append(_row(count, await _load(server.url, effort)))
    return rows


async def _load(url: str, effort: Effort) -> Answers:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:

        async def ask(_: int) -> str | None:
            async with http.post(url, data=b"x") as response:
                said = await response.text()
                if response.status != 200:
                    raise NoAnswer(response.status)
            return None if said == "done" else said

        return _right(await timed(ask, round(CONNECTIONS * 5 * effort.seconds), CONNECTIONS))


async def _with_texts(effort: Effort) -> tuple[list[list[str]], list[list[str]]]:
    words, characters = [], []
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(ours(EMBEDDER, VOICE))
        async with aiohttp.ClientSession(server.url) as http:
            some = " ".join(mixed_texts(200)).split()
            for length in WORDS:
                texts = [" ".join(some[at * 3 : at * 3 + length]) for at in range(100)]
                ask = partial(_embed, http, texts)
                await timed(ask, len(texts), 8)
                words.append(_row(length, _right(await timed(ask, len(texts), 8))))
            for length in CHARACTERS:
                text = long_text(length)
                ask = partial(_speak, http, text)
                await timed(ask, 1, 1)
                taken = _right(await timed(ask, effort.rounds, 1)).p50_ms
                each = f"{taken / len(text):.2f}"
                characters.append([str(len(text)), f"{taken / 1000:.2f}", each])
    return words, characters


async def _embed(http: aiohttp.ClientSession, texts: list[str], place: int) -> str | None:
    vector = (await _json(http, "/predict", {"model_name": EMBEDDER, "inputs": texts[place]}))[
        "result"
    ]
    return None if len(vector) == 384 else f"{len(vector)} numbers"


async def _speak(http: aiohttp.ClientSession, text: str, _: int) -> str | None:
    body = {"text": text, "model": VOICE, "timeout": 120}
    async with http.post("/synthesize", json=body, headers={"Accept": "audio/*"}) as response:
        data = await response.read()
        if response.status != 200:
            raise NoAnswer(response.status)
    return None if len(data) > 1000 * len(text) else f"{len(data)} bytes of audio"


async def _json(http: aiohttp.ClientSession, path: str, body: object) -> Any:
    async with http.post(path, json=body) as response:
        if response.status != 200:
            raise NoAnswer(response.status)
        return await response.json()


def _right(answers: Answers) -> Answers:
    """Return *answers*.  Raises RuntimeError where one failed or was wrong."""
    if answers.failed or answers.wrong:
        raise RuntimeError(f"{answers.failed} answers failed; {answers.wrong}")
    return answers


def _row(what: int, answers: Answers) -> list[str]:
    rate = answers.answered / answers.seconds
    return [str(what), *(number(each) for each in (rate, answers.p50_ms, answers.p99_ms))]
