"""`scripts/faults`: every fault on a real server, and the table in docs/reliability.md."""

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks.machine import description
from benchmarks.report import write_section
from benchmarks.soak import DOCUMENT
from benchmarks.workspace import workspace
from tests.faults.scenario import Report, Scenario, check, run
from tests.faults.scenarios import SCENARIOS
from tests.live.world import build_world

HEAD = "| Fault | Other clients | The client at fault | Without an answer | Recovered after |\n"


async def main(chosen: Sequence[Scenario]) -> int:
    """Return 0 when every fault that was *chosen* did what it may and no more.

    The table is written where all were.
    """
    machine, reports, failures = description(), [], 0
    with tempfile.TemporaryDirectory() as folder:
        server = build_world(Path(folder), worker_template="true")
        server.start()
        try:
            await asyncio.to_thread(server.wait_ready)
            await asyncio.to_thread(server.wait_forking)
            for scenario in chosen:
                report = await run(scenario, server)
                print(_row(report), end="", flush=True)
                reports.append(report)
                try:
                    check(scenario, report)
                except AssertionError as exc:
                    failures += 1
                    print(f"NOT AS IT SHOULD BE: {exc}", file=sys.stderr)
        finally:
            server.stop()
    if len(chosen) == len(SCENARIOS):
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
    parser = argparse.ArgumentParser(prog="scripts/faults", description="Breaks a real server.")
    parser.add_argument("names", nargs="*", help="only faults whose name holds one of these")
    names = parser.parse_args().names
    asked_for = [
        each for each in SCENARIOS if not names or any(word in each.name for word in names)
    ]
    if not asked_for:
        parser.error(f"no fault is called {names}; there are: {[each.name for each in SCENARIOS]}")
    with workspace():
        sys.exit(asyncio.run(main(asked_for)))
