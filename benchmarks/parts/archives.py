"""An archive with a handler of its own, beside TorchServe called directly and behind a bare proxy.

The handler takes a fixed time for a batch, as a network on a GPU does.  The proxy shows what one
more hop costs at least.
"""

import contextlib
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.effort import Effort
from benchmarks.own_archive import BATCH_SIZE, Asking, behind_proxy, direct, our_server
from benchmarks.progress import tell
from benchmarks.report import Report, comparison
from benchmarks.servers import Running, session
from benchmarks.turns import OURS, Answers, Candidate, Entrants, lasting, take_turns

DELAYS_MS = (1, 10)  # of TorchServe's own batches
PASSES_MS = (0, 15)
LOADS = (1, 8, 64)


async def run(effort: Effort) -> Report:
    """Return tables for a quick handler and a slow one."""
    return Report("\n\n".join([await _with_handler(pass_ms, effort) for pass_ms in PASSES_MS]))


async def _with_handler(pass_ms: int, effort: Effort) -> str:
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        folder, entrants = Path(temporary), Entrants(stack)
        tell(f"    starting {OURS}")
        servers = {OURS: stack.enter_context(our_server(folder / "ours", pass_ms))}
        for delay in DELAYS_MS:
            for start, name in ((direct, "TorchServe"), (behind_proxy, "a bare proxy before it")):
                who, place = f"{name}, {delay} ms", folder / f"{start.__name__}-{delay}"
                server = entrants.enter(who, partial(start, place, pass_ms, delay_ms=delay))
                if server is not None:
                    servers[who] = server
        texts = [f"### A handler that takes {pass_ms} ms for a batch of at most {BATCH_SIZE}"]
        for connections in LOADS:
            candidates = [
                Candidate(who, partial(_asked, each, connections, effort), each.processes)
                for who, each in servers.items()
            ]
            work = f"{pass_ms} ms, {connections} connections"
            outcomes = await take_turns(candidates, effort.rounds, work)
            s = "s" if connections > 1 else ""
            table = comparison([*outcomes, *entrants.absent])
            texts.append(f"**{connections} connection{s}**\n\n{table}")
    return "\n\n".join(texts)


async def _asked(server: Running, connections: int, effort: Effort) -> Answers:
    async with session() as http:
        return await lasting(Asking(http, server.url).ask, effort.seconds, connections)
