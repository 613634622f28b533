"""The sidecar's memory under load, an hour by default (`--minutes`)."""

import asyncio
import time

import psutil

from benchmarks.effort import Effort
from benchmarks.http_load import run_load
from benchmarks.parts.small_network import OUR_BODY, OUR_PATTERN, expected_answer
from benchmarks.process_tree import MIB
from benchmarks.report import Report, number, table
from benchmarks.servers import ours

CONNECTIONS = 64
LOOKS = 6


async def run(effort: Effort) -> Report:
    """Return a table of looks at equal distances.  Raises RuntimeError for a wrong answer."""
    expected = expected_answer()
    with ours("example") as server:
        sidecar = psutil.Process(server.pid)
        began = time.monotonic()
        rows = [_row(0.0, sidecar, 0)]
        answered = 0
        for _ in range(LOOKS):
            load = await asyncio.to_thread(
                run_load,
                f"{server.url}/predict",
                OUR_BODY,
                OUR_PATTERN,
                expected,
                connections=CONNECTIONS,
                seconds=max(1, round(effort.minutes * 60 / LOOKS)),
            )
            if load.failed or load.wrong:
                raise RuntimeError(f"{load.failed} answers failed; {load.wrong}")
            answered += load.answered
            rows.append(_row((time.monotonic() - began) / 60, sidecar, answered))
    head = ["minutes", "answers so far", "resident MiB"]
    return Report(f"`example` over {CONNECTIONS} connections:\n\n{table(head, rows)}")


def _row(minutes: float, sidecar: psutil.Process, answered: int) -> list[str]:
    return [f"{minutes:.1f}", number(answered), f"{sidecar.memory_info().rss / MIB:.0f}"]
