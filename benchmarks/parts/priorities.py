"""Urgent requests under a flood, and work that is done for clients that have left.

Both of an archive with a handler of its own, and of a model that comes with the project.
"""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.effort import Effort
from benchmarks.own_archive import BATCH_SIZE, Asking, Batch, batches, direct, our_server
from benchmarks.progress import tell
from benchmarks.report import Report, table
from benchmarks.servers import ours, session
from benchmarks.texts import mixed_texts
from benchmarks.turns import OURS, NoAnswer, percentiles

MODEL, MODEL_BATCH_SIZE = "sentence_transformer", 32  # see models.json
FLOODING_WORDS, LEAVING_WORDS = 60, 200  # of a text
FLOOD, URGENT = 0, 10  # priorities
FLOODING = 4  # batches' worth of clients
WARM_SECONDS = 5.0  # of the flood before anything counts: Java compiles what it runs
ALONE_SECONDS = 3.0  # of the flood before the first urgent request, to see what its batches take
URGENT_PER_SECOND = 15  # requests, for each second of a load and each round
PASS_MS, LEAVING_MS = 15, 100  # of a batch of the own handler
LEAVING = 96  # clients; TorchServe's queue takes 100
LEAVE_SECONDS = 0.15  # after they have asked
NOTICED_SECONDS = 0.25  # after that; 0.2 of them a client that closes may still be reading

Ask = Callable[[int], Awaitable[str | None]]  # by the priority; returns what is wrong
Count = Callable[[], Awaitable[int]]  # of the batches so far


async def run(effort: Effort) -> Report:
    """Return two tables.  Raises NoAnswer or ValueError for an answer that failed or was wrong."""
    count = max(20, round(URGENT_PER_SECOND * effort.seconds * effort.rounds))
    flooded = await _own_flooded(count)
    left = await _own_left()
    tell(f"    {MODEL}")
    with ours(MODEL) as server:
        async with session(server.url) as http:
            flooded += await _model_flooded(http, count)
            left.append(await _model_left(http))
    head = ["", "batch to batch, ms", "priority", "p50 ms", "p99 ms", "p99 in batch times"]
    leaving = ["", "answered", "worked on in vain", "batches begun after they had left"]
    return Report(
        f"**Priorities.** As many clients as {FLOODING} batches hold ask on and on with priority "
        f"{FLOOD}, one {count} times with {URGENT}:\n\n{table(head, flooded)}\n\n"
        f"**Clients that leave.** {LEAVING} clients ask at once, and leave after "
        f"{LEAVE_SECONDS * 1000:g} ms:\n\n{table(leaving, left)}"
    )


async def _own_flooded(count: int) -> list[list[str]]:
    tell(f"    an own handler, {PASS_MS} ms a batch: priorities")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "ours")

        async def begun() -> int:
            return len(batches(folder))

        with our_server(folder, PASS_MS) as server:
            async with session() as http:
                ask = partial(Asking(http, server.url).ask, 0)
                times = await _flooded(ask, FLOODING * BATCH_SIZE, count, begun)
    return times.rows(f"own handler of {PASS_MS} ms")


async def _model_flooded(http: aiohttp.ClientSession, count: int) -> list[list[str]]:
    text = _text(FLOODING_WORDS)
    ask, jobs = partial(_ask, http, text), partial(_jobs, http)
    times = await _flooded(ask, FLOODING * MODEL_BATCH_SIZE, count, jobs)
    return times.rows(f"`{MODEL}`, {FLOODING_WORDS} words")


class _Times(NamedTuple):
    """Milliseconds of requests by their priority, and from one batch of the flood to the next."""

    taken: dict[int, list[float]]
    batch_ms: float

    def rows(self, name: str) -> list[list[str]]:
        """Return a row for each priority."""
        rows = []
        for priority, taken in self.taken.items():
            p50, p99 = percentiles(taken)
            figures = (f"{self.batch_ms:.0f}", str(priority), f"{p50:.0f}", f"{p99:.0f}")
            rows.append([name, *figures, f"{p99 / self.batch_ms:.1f}"])
        return rows


async def _flooded(ask: Ask, crowd: int, count: int, batches_so_far: Count) -> _Times:
    """Return how *count* urgent requests and those of a *crowd* fared together.

    The flood's batches are counted while nobody is urgent: those with urgent requests may be
    smaller.
    """
    taken: dict[int, list[float]] = {FLOOD: [], URGENT: []}
    done = asyncio.Event()

    async def timed(priority: int) -> None:
        began = time.perf_counter()
        wrong = await ask(priority)
        taken[priority].append((time.perf_counter() - began) * 1000)
        if wrong is not None:
            raise ValueError(wrong)

    async def flood() -> None:
        while not done.is_set():
            await timed(FLOOD)

    async def urgent() -> float:
        await asyncio.sleep(WARM_SECONDS)
        batch_ms = await _batch_ms(batches_so_far)
        taken[FLOOD].clear()
        for _ in range(count):
            await timed(URGENT)
        done.set()
        return batch_ms

    async with asyncio.TaskGroup() as group:
        measured = group.create_task(urgent())
        for _ in range(crowd):
            group.create_task(flood())
    return _Times(taken, measured.result())


async def _batch_ms(batches_so_far: Count) -> float:
    """Return the milliseconds from one batch to the next."""
    began, before = time.perf_counter(), await batches_so_far()
    await asyncio.sleep(ALONE_SECONDS)
    count, seconds = await batches_so_far() - before, time.perf_counter() - began
    return seconds * 1000 / max(count, 1)


async def _own_left() -> list[list[str]]:
    rows = []
    for who, server in ((OURS, our_server), ("TorchServe", direct)):
        tell(f"    an own handler, {LEAVING_MS} ms a batch: clients that leave {who}")
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name, "own")
            with contextlib.ExitStack() as stack:
                running = stack.enter_context(server(folder, LEAVING_MS))
                async with session() as http:
                    ask = partial(Asking(http, running.url).ask, 0)
                    await ask(FLOOD)
                    before = len(batches(folder))
                    left = await _left(ask)
                    await ask(FLOOD)  # comes last
                    begun = batches(folder)[before:]
            rows.append(_own_row(f"{who}, own handler", left, begun))
    return rows


class _Left(NamedTuple):
    """How many of the clients were answered before they left, and when that was noticed."""

    answered: int
    noticed_at: float


def _own_row(name: str, left: _Left, begun: list[Batch]) -> list[str]:
    in_vain = sum(each.size for each in begun) - left.answered - 1
    late = sum(each.began > left.noticed_at for each in begun) - 1
    return [name, str(left.answered), str(in_vain), str(late)]


async def _model_left(http: aiohttp.ClientSession) -> list[str]:
    ask = partial(_ask, http, _text(LEAVING_WORDS))
    await ask(FLOOD)
    before = await _inputs(http)
    left = await _left(ask)
    jobs = await _jobs(http)
    await ask(FLOOD)  # comes last
    in_vain = await _inputs(http) - before - left.answered - 1
    # One of them ran already, and one is that of the last request.
    late = max(0, await _jobs(http) - jobs - 2)
    name = f"ours, `{MODEL}`, {LEAVING_WORDS} words, batches of {MODEL_BATCH_SIZE}"
    return [name, str(left.answered), str(in_vain), str(late)]


async def _left(ask: Ask) -> _Left:
    """Let a crowd ask and leave; return when that has been noticed."""

    async def leave() -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                wrong = await ask(FLOOD)
                if wrong is not None:
                    raise ValueError(wrong)
                return True
        return False

    answered = sum(await asyncio.gather(*(leave() for _ in range(LEAVING))))
    await asyncio.sleep(NOTICED_SECONDS)
    return _Left(answered, time.time())


def _text(words: int) -> str:
    return " ".join(" ".join(mixed_texts(50)).split()[:words])


async def _ask(http: aiohttp.ClientSession, text: str, priority: int) -> str | None:
    """Ask our model; return what is wrong with its answer."""
    body = {"model_name": MODEL, "inputs": text, "priority": priority}
    async with http.post("/predict", json=body) as response:
        answer = await response.json()
        if response.status != 200:
            raise NoAnswer(response.status)
    length = len(answer["result"])
    return None if length == 384 else f"{length} numbers"


async def _jobs(http: aiohttp.ClientSession) -> int:
    """Return how many jobs our model has done."""
    return await _counted(http, "count")


async def _inputs(http: aiohttp.ClientSession) -> int:
    """Return how many inputs these jobs had."""
    return await _counted(http, "sum")


async def _counted(http: aiohttp.ClientSession, what: str) -> int:
    async with http.get("/metrics") as response:
        response.raise_for_status()
        families = text_string_to_metric_families(await response.text())
    return round(
        sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == f"sidecar_batch_size_{what}" and sample.labels["model"] == MODEL
        )
    )
