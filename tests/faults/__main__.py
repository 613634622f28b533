"""`scripts/faults`: every fault on a real server, and the table in docs/reliability.md."""

import asyncio
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.machine import description
from tests.faults.scenario import Report, check, run
from tests.faults.scenarios import SCENARIOS
from tests.faults.world import build_world
from tests.integration.server import ROOT

DOCUMENT = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- faults: begin -->\n", "<!-- faults: end -->\n"
HEAD = "| What happens | The others saw | Who did it saw | Without an answer | Well again after |\n"


async def main() -> int:
    """Returns 0 when every fault did what it may and no more."""
    reports, failures = [], 0
    with tempfile.TemporaryDirectory() as folder:
        server = build_world(Path(folder))
        server.start()
        try:
            await asyncio.to_thread(server.wait_ready)
            for scenario in SCENARIOS:
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
    _write(reports)
    return 1 if failures else 0


def _row(report: Report) -> str:
    seconds = "nobody noticed" if not report.seconds else f"{report.seconds:.1f} s"
    others, culprits = _told(report.others), _told(report.culprits)
    return f"| {report.name} | {others} | {culprits} | {report.lost} | {seconds} |\n"


def _told(answers: Counter[int]) -> str:
    parts = [
        f"{count:,} × {status or 'cut off'}"
        for status, count in sorted(answers.items(), reverse=True)
    ]
    return ", ".join(parts) or "–"


def _write(reports: list[Report]) -> None:
    text = DOCUMENT.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    table = HEAD + "|---|---|---|---|---|\n" + "".join(_row(each) for each in reports)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{table}\nMeasured on {description()}.\n\n{END}{after}")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
