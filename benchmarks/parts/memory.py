"""The sidecar's memory under load, an hour by default (`--minutes`)."""

import time

import psutil

from benchmarks.effort import Effort
from benchmarks.http_load import run_load
from benchmarks.parts.small_network import OUR_BODY, OUR_PATTERN, expected_answer
from benchmarks.process_tree import MIB
from benchmarks.progress import tell
from benchmarks.report import Report, table
from benchmarks.servers import ours

CONNECTIONS = 64
LOOKS = 6


async def run(effort: Effort) -> Report:
    """Return a table of looks at equal distances.  Raises ValueError for a wrong answer."""
    expected = expected_answer()
    with ours("example") as server:
        sidecar = psutil.Process(server.pid)
        began = time.monotonic()
        rows = [_row(0.0, sidecar, 0)]
        answered = 0
        for look in range(1, LOOKS + 1):
            load = await run_load(
                f"{server.url}/predict",
                OUR_BODY,
                OUR_PATTERN,
                expected,
                connections=CONNECTIONS,
                seconds=effort.minutes * 60 / LOOKS,
            )
            if load.failed or load.wrong:
                raise ValueError(f"{load.failed} answers failed; {load.wrong}")
            answered += load.answered
            rows.append(_row((time.monotonic() - began) / 60, sidecar, answered))
            tell(f"    look {look} of {LOOKS}: {rows[-1][-1]} MiB")
    head = ["minutes", "answers so far", "resident MiB"]
    return Report(f"`example` over {CONNECTIONS} connections:\n\n{table(head, rows)}")


def _row(minutes: float, sidecar: psutil.Process, answered: int) -> list[str]:
    return [f"{minutes:.1f}", f"{answered:,}", f"{sidecar.memory_info().rss / MIB:.0f}"]
