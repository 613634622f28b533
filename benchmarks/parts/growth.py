"""How cost grows with connections, models, workers, and the length of a text."""

import contextlib
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import psutil

from benchmarks.effort import Effort
from benchmarks.http_load import run_load
from benchmarks.own_archive import BATCH_SIZE, NAME, Asking, our_server
from benchmarks.parts.small_network import OUR_BODY, OUR_PATTERN, expected_answer
from benchmarks.peers.example_servers import EXAMPLE
from benchmarks.process_tree import MIB, own_cpu_seconds
from benchmarks.progress import tell
from benchmarks.report import Panel, Plot, Report, number, table
from benchmarks.servers import Running, ours, session
from benchmarks.texts import long_text, mixed_texts
from benchmarks.turns import Answers, NoAnswer, lasting
from tests.integration.server import SECRET
from tests.integration.tokens import bearer

CONNECTIONS = (1, 4, 16, 64, 256)
MODELS = (1, 4, 8)
WORKERS = (1, 2, 4)
WORDS = (5, 20, 80, 160)
CHARACTERS = (100, 300, 1000, 3000)
PASS_MS = 15  # of a batch of the own handler
CROWD = 64  # connections, where their number is not what grows
EMBEDDER, EMBEDDER_CROWD, VOICE = "sentence_transformer", 8, "hibari_tts"
HEAD = ("answers/s", "p50 ms", "p99 ms", "CPU s per 1,000", "of these the sidecar's", "MiB")

Load = Callable[[], Awaitable[Answers]]


class Cost(NamedTuple):
    """What a load gave, and what the server and the sidecar alone took for 1,000 answers."""

    answers: Answers
    cpu: float
    sidecar_cpu: float
    sidecar_mib: float

    def row(self) -> list[str]:
        """Return the figures of HEAD."""
        rate = self.answers.answered / self.answers.seconds
        figures = (rate, self.answers.p50_ms, self.answers.p99_ms, self.cpu, self.sidecar_cpu)
        return [*(number(each) for each in figures), f"{self.sidecar_mib:.0f}"]


Costs = dict[int, Cost]  # by what grows


async def run(effort: Effort) -> Report:
    """Return five tables, and a plot of what they have in common.

    Raises ValueError where an answer failed or was wrong.
    """
    connections = await _with_connections(effort)
    with tempfile.TemporaryDirectory() as name:
        models = await _with_models(Path(name), effort)
        workers = await _with_workers(Path(name), effort)
    words, characters = await _with_texts(effort)
    own = f"a handler of its own that takes {PASS_MS} ms for a batch of {BATCH_SIZE}"
    tables = [
        _table(f"**Connections**, `{EXAMPLE}`", "connections", connections),
        _table(f"**Models**, each {own}; one is asked by {CROWD} clients", "models", models),
        _table(f"**Workers** of one such model, {CROWD} clients", "workers", workers),
        _table(f"**Words** of a text, `{EMBEDDER}`, {EMBEDDER_CROWD} clients", "words", words),
        _table(f"**Characters** of a text, `{VOICE}`, one client", "characters", characters),
    ]
    grown = {"connections": connections, "models": models, "workers": workers, "words": words}
    panels = [_panel(name, costs) for name, costs in (grown | {"characters": characters}).items()]
    title = "What 1,000 answers take"
    return Report("\n\n".join(tables), [Plot("growth", title, panels)])


def _table(title: str, what: str, costs: Costs) -> str:
    rows = [[str(count), *cost.row()] for count, cost in costs.items()]
    return f"{title}:\n\n{table([what, *HEAD], rows)}"


def _panel(what: str, costs: Costs) -> Panel:
    lines: dict[str, Sequence[tuple[float | str, float]]] = {
        "the whole server": [(count, cost.cpu) for count, cost in costs.items()],
        "the sidecar": [(count, cost.sidecar_cpu) for count, cost in costs.items()],
    }
    return Panel(what, "CPU seconds", lines)


async def _cost(server: Running, load: Load) -> Cost:
    """Return what *load* cost, the second time.  Raises ValueError for a bad answer."""
    sidecar = psutil.Process(server.pid)
    _right(await load())
    before = server.processes.cpu_seconds(), own_cpu_seconds(sidecar)
    answers = _right(await load())
    everything = server.processes.cpu_seconds() - before[0]
    alone = own_cpu_seconds(sidecar) - before[1]
    thousands = answers.answered / 1000
    memory = sidecar.memory_info().rss / MIB
    return Cost(answers, everything / thousands, alone / thousands, memory)


def _right(answers: Answers) -> Answers:
    if answers.failed or answers.wrong:
        raise ValueError(f"{answers.failed} answers failed; {answers.wrong}")
    return answers


async def _with_connections(effort: Effort) -> Costs:
    expected = expected_answer()
    costs = {}
    with ours(EXAMPLE) as server:
        for connections in CONNECTIONS:
            tell(f"    {connections} connections")
            load = partial(
                run_load,
                f"{server.url}/predict",
                OUR_BODY,
                OUR_PATTERN,
                expected,
                connections=connections,
                seconds=effort.seconds,
            )
            costs[connections] = await _cost(server, load)
    return costs


async def _with_models(folder: Path, effort: Effort) -> Costs:
    costs = {}
    for count in MODELS:
        tell(f"    {count} models")
        with our_server(folder / f"models-{count}", PASS_MS, copies=count) as server:
            costs[count] = await _cost(server, partial(_ask_own, server.url, effort))
    return costs


async def _with_workers(folder: Path, effort: Effort) -> Costs:
    costs = {}
    with our_server(folder / "workers", PASS_MS, most_workers=max(WORKERS)) as server:
        base = server.url.partition("/predictions")[0]
        async with session(base, **bearer("admin", SECRET)) as http:
            for count in WORKERS:
                tell(f"    {count} workers")
                path = f"/models/{NAME}/scale"
                async with http.post(path, json={"workers": count}) as response:
                    response.raise_for_status()
                costs[count] = await _cost(server, partial(_ask_own, server.url, effort))
    return costs


async def _ask_own(url: str, effort: Effort) -> Answers:
    async with session() as http:
        return await lasting(Asking(http, url).ask, effort.seconds, CROWD)


async def _with_texts(effort: Effort) -> tuple[Costs, Costs]:
    words, characters = {}, {}
    some = " ".join(mixed_texts(200)).split()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(ours(EMBEDDER, VOICE))
        async with session(server.url) as http:
            for length in WORDS:
                tell(f"    {length} words")
                texts = [" ".join(some[at * 3 : at * 3 + length]) for at in range(100)]
                embed = partial(_embed, http, texts)
                load = partial(lasting, embed, effort.seconds, EMBEDDER_CROWD)
                words[length] = await _cost(server, load)
            for length in CHARACTERS:
                tell(f"    {length} characters")
                text = long_text(length)
                load = partial(lasting, partial(_speak, http, text), effort.seconds, 1)
                characters[len(text)] = await _cost(server, load)
    return words, characters


async def _embed(http: aiohttp.ClientSession, texts: list[str], place: int) -> str | None:
    body = {"model_name": EMBEDDER, "inputs": texts[place % len(texts)]}
    vector = (await _json(http, "/predict", body))["result"]
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
