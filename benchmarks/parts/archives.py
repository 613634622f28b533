"""An archive with a handler of its own, beside TorchServe called directly and behind a bare proxy.

The handler takes a fixed time for a batch, as a network on a GPU does.  The proxy shows what one
more hop costs at least.  An archive says how long a batch may wait for others: each server has it
with both delays.
"""

import contextlib
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from benchmarks.effort import Effort
from benchmarks.http_load import run_load
from benchmarks.own_archive import BATCH_SIZE, behind_proxy, direct, our_server
from benchmarks.progress import tell
from benchmarks.report import Report, comparison
from benchmarks.servers import Running
from benchmarks.turns import OURS, Answers, Candidate, Entrants, take_turns

Start = Callable[..., contextlib.AbstractContextManager[Running]]

SHORT_MS, LONG_MS = 1, 10  # that a batch may wait for others, by the archive
BODY, PATTERN = "1", "done (%d)"  # the number has to be 1
PASSES_MS = (0, 15)
LOADS = (1, 8, 64)


async def run(effort: Effort) -> Report:
    """Return tables for a quick handler and a slow one."""
    return Report("\n\n".join([await _with_handler(pass_ms, effort) for pass_ms in PASSES_MS]))


async def _with_handler(pass_ms: int, effort: Effort) -> str:
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        folder, entrants = Path(temporary), Entrants(stack)
        tell(f"    starting {OURS}")
        ours = our_server(folder / "ours", pass_ms, delay_ms=LONG_MS)
        servers = {OURS: stack.enter_context(ours)}
        starts: dict[str, Start] = {
            f"{OURS}, {SHORT_MS} ms": partial(our_server, folder / "short", delay_ms=SHORT_MS)
        }
        for delay in (SHORT_MS, LONG_MS):
            place = folder / f"direct-{delay}"
            starts[f"TorchServe, {delay} ms"] = partial(direct, place, delay_ms=delay)
            place = folder / f"proxy-{delay}"
            starts[f"a bare proxy before it, {delay} ms"] = partial(
                behind_proxy, place, delay_ms=delay
            )
        for who, start in starts.items():
            server = entrants.enter(who, partial(start, pass_ms=pass_ms))
            if server is not None:
                servers[who] = server
        texts = [f"### A handler that takes {pass_ms} ms for a batch of at most {BATCH_SIZE}"]
        for connections in LOADS:
            candidates = [
                Candidate(who, _load(each, connections, effort), each.processes)
                for who, each in servers.items()
            ]
            work = f"{pass_ms} ms, {connections} connections"
            outcomes = await take_turns(candidates, effort.rounds, work)
            s = "s" if connections > 1 else ""
            table = comparison([*outcomes, *entrants.absent])
            texts.append(f"**{connections} connection{s}**\n\n{table}")
    return "\n\n".join(texts)


def _load(server: Running, connections: int, effort: Effort) -> Callable[[], Awaitable[Answers]]:
    """Return what asks *server* over *connections*."""
    return partial(
        run_load,
        server.url,
        BODY,
        PATTERN,
        expected=1.0,
        connections=connections,
        seconds=effort.seconds,
    )
