"""`scripts/faults`: every fault on a real server, and the table in docs/reliability.md."""

import asyncio
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.machine import description
from benchmarks.report import write_section
from benchmarks.soak import DOCUMENT
from benchmarks.workspace import workspace
from tests.faults.command_line import Chosen, read
from tests.faults.scenario import Report, check, run
from tests.live.world import build_world

HEAD = "| Fault | Other clients | The client at fault | Without an answer | Recovered after |\n"


async def main(chosen: Chosen) -> int:
    """Return 0 when every fault that was *chosen* did what it may and no more."""
    machine, reports, failures = description(), [], 0
    with tempfile.TemporaryDirectory() as folder:
        server = build_world(Path(folder), worker_template="true")
        server.start()
        try:
            await asyncio.to_thread(server.wait_ready)
            await asyncio.to_thread(server.wait_forking)
            for scenario in chosen.scenarios:
                report = await run(scenario, server)
                print(_row(report), end="", flush=True)
                reports.append(report)
                try:
                    check(scenario.on_busy_machine() if chosen.busy else scenario, report)
                except AssertionError as exc:
                    failures += 1
                    print(f"NOT AS IT SHOULD BE: {exc}", file=sys.stderr)
        finally:
            server.stop()
    if chosen.fills_table:
        table = HEAD + "|---|---|---|---|---|\n" + "".join(_row(each) for each in reports)
        write_section("faults", f"{table}\nMeasured on {machine}.", DOCUMENT)
    return 1 if failures else 0


def _row(report: Report) -> str:
    seconds = "not noticed" if not report.seconds else f"{report.seconds:.1f} s"
    others, culprits = _told(report.others), _told(report.culprits)
    return f"| {report.name} | {others} | {culprits} | {report.lost} | {seconds} |\n"


def _told(answers: Counter[int]) -> str:
    parts = [
        f"{count:,} × {status or 'cut off'}"
        for status, count in sorted(answers.items(), reverse=True)
    ]
    return ", ".join(parts) or "–"


if __name__ == "__main__":
    told = read("scripts/faults", "Breaks a real server.")
    with workspace():
        sys.exit(asyncio.run(main(told)))
