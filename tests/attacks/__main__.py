"""`scripts/attack`: every attack on a real server, and the table in docs/security.md."""

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.machine import description
from benchmarks.report import write_section
from benchmarks.workspace import workspace
from tests.attacks.attack import (
    BY_THE_CLOCK,
    Attack,
    Report,
    problems,
    run,
    run_on_busy_machine,
)
from tests.attacks.mutation.requests import mutated
from tests.attacks.scenarios import ATTACKS
from tests.attacks.world import build
from tests.integration.server import ROOT, Server
from tests.live.crowd import BUSY_HELP

DOCUMENT = ROOT / "docs" / "security.md"
HEAD = (
    "| Attack | Attacker | Others | `/livez`, quiet | during it | longest "
    "| Memory | Recovered after |\n|---|---|---|---|---|---|---|---|\n"
)


async def main(chosen: Sequence[Attack], *, busy: bool) -> int:
    """Return 0 when no attack that was *chosen* did more than it may.

    The table is written where all were, on a machine that is not *busy*.
    """
    machine, rows, failures = description(), [], 0
    async with _shared_server(chosen) as server:
        for attack in chosen:
            if busy:
                report, found = await run_on_busy_machine(attack, server)
            else:
                report = await run(attack, server, measure=BY_THE_CLOCK)
                found = problems(attack, report)
            rows.append(_row(report))
            failures += len(found)
            print(rows[-1], end="", flush=True)
            for each in found:
                said = f"NOT AS IT SHOULD BE: {attack.name}: {each}"
                print(said, file=sys.stderr, flush=True)
    if len(chosen) == len(ATTACKS) and not busy:
        write_section("attacks", f"{HEAD}{''.join(rows)}\nMeasured on {machine}.", DOCUMENT)
    return 1 if failures else 0


@asynccontextmanager
async def _shared_server(attacks: Sequence[Attack]) -> AsyncIterator[Server | None]:
    """The server of those that have none of their own; None where all have."""
    if all(each.settings is not None for each in attacks):
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="attacks-") as folder:
        server = build(Path(folder), speech=True, worker_template="true")
        server.start()
        try:
            await asyncio.to_thread(server.wait_ready)
            await asyncio.to_thread(server.wait_forking)
            yield server
        finally:
            await asyncio.to_thread(server.stop)


def _row(report: Report) -> str:
    well = "not noticed" if not report.seconds else f"{report.seconds:.1f} s"
    times = (report.quiet_ms, report.livez_ms, report.livez_longest_ms)
    cells = [
        report.name,
        _told(report.attackers),
        _told(report.others),
        *(f"{each:.0f} ms" for each in times),
        f"+{report.peak_mib:.0f} MiB",
        well,
    ]
    return f"| {' | '.join(cells)} |\n"


def _told(answers: Counter[int]) -> str:
    parts = [f"{count:,} × {status or 'cut off'}" for status, count in sorted(answers.items())]
    return ", ".join(parts) or "–"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="scripts/attack", description="Attacks a real server.")
    parser.add_argument("names", nargs="*", help="only attacks whose name holds one of these")
    parser.add_argument("--request", metavar="SEED:NUMBER", help="write a mutated request, no more")
    parser.add_argument("--busy", action="store_true", help=BUSY_HELP)
    arguments = parser.parse_args()
    if arguments.request:
        seed, number = arguments.request.split(":")
        sys.stdout.buffer.write(mutated(int(seed), int(number)).data)
        sys.exit()
    words = arguments.names
    asked_for = [each for each in ATTACKS if not words or any(word in each.name for word in words)]
    if not asked_for:
        parser.error(f"no attack is called {words}; there are: {[each.name for each in ATTACKS]}")
    with workspace():
        sys.exit(asyncio.run(main(asked_for, busy=arguments.busy)))
