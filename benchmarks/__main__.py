"""`scripts/bench`: measures this server, beside what people would pick instead.

Parts: small_network (needs wrk), hot_path, embeddings, recognition, synthesis, streams, archives,
growth, wakes, start, idle, and memory, which takes an hour.  Each writes its tables and plots into
docs/performance.md.  Peers are installed by pip into var/peers/, each into an environment of its
own.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any

from benchmarks.effort import Effort
from benchmarks.machine import description
from benchmarks.parts import (
    archives,
    embeddings,
    growth,
    hot_path,
    idle,
    memory,
    recognition,
    small_network,
    start,
    streams,
    synthesis,
    wakes,
)
from benchmarks.report import Report, publish
from benchmarks.servers import ROOT

DOCUMENT = ROOT / "docs" / "performance.md"
PARTS: dict[str, Callable[[Effort], Coroutine[Any, Any, Report]]] = {
    "small_network": small_network.run,
    "hot_path": hot_path.run,
    "embeddings": embeddings.run,
    "recognition": recognition.run,
    "synthesis": synthesis.run,
    "streams": streams.run,
    "archives": archives.run,
    "growth": growth.run,
    "wakes": wakes.run,
    "start": start.run,
    "idle": idle.run,
    "memory": memory.run,
}


def main(arguments: Sequence[str]) -> int:
    """Run the parts that are asked for.  Returns 1 where one could not be measured."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="of those above")
    parser.add_argument("--all", action="store_true", help="run every part")
    parser.add_argument("--rounds", type=int, default=3, help="that count, of each (default 3)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load (default 3)")
    parser.add_argument("--minutes", type=float, default=60.0, help="of the part memory")
    parser.add_argument("--print-only", action="store_true", help="leave the document as it is")
    options = parser.parse_args(arguments)
    unknown = [each for each in options.parts if each not in PARTS]
    if unknown or not (options.parts or options.all):
        parser.error(f"expected --all or some of: {', '.join(PARTS)}; got {unknown or 'nothing'}")
    effort = Effort(options.rounds, options.seconds, options.minutes)
    faults = [
        _run(name, effort, print_only=options.print_only)
        for name in (PARTS if options.all else options.parts)
    ]
    return 1 if any(faults) else 0


def _run(name: str, effort: Effort, *, print_only: bool) -> bool:
    """Run a part; whether it failed.  One that fails leaves the others their turn."""
    where = f"{datetime.now(UTC):%Y-%m-%d}, {description()}."
    print(f"\n## {name}\n", flush=True)
    try:
        report = asyncio.run(PARTS[name](effort))
    except Exception as exc:  # noqa: BLE001
        print(f"bench: {name}: {type(exc).__name__}: {exc}", file=sys.stderr)
        return True
    report = report._replace(text=f"{where}\n\n{report.text}")
    print(report.text, flush=True)
    if not print_only:
        publish(name, report, DOCUMENT, effort.environments)
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
