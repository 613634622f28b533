"""`scripts/bench`: compares this server with TorchServe called directly and with other servers.

Each part writes its tables and plots into its block of docs/performance.md.  If a part fails, a
line there says so, the other parts are measured all the same, and the exit status is 1.
"""

import argparse
import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.effort import Effort
from benchmarks.machine import description
from benchmarks.parts import (
    archives,
    embeddings,
    growth,
    hot_path,
    idle,
    memory,
    priorities,
    recognition,
    small_network,
    start,
    streams,
    synthesis,
    wakes,
)
from benchmarks.progress import tell
from benchmarks.report import Report, publish, write_section
from benchmarks.servers import ROOT
from benchmarks.workspace import workspace

DOCUMENT = ROOT / "docs" / "performance.md"
INTERRUPTED = 130  # the exit status that shells give


class Part(NamedTuple):
    """One part: what it measures, the function that does so, and how long that takes.

    *minutes* is the time on two otherwise idle cores, with the peers installed, for *rounds* and
    *seconds*.
    """

    about: str
    run: Callable[[Effort], Coroutine[Any, Any, Report]]
    minutes: float
    rounds: int = 3
    seconds: float = 2.0


PARTS = {
    "small_network": Part("the example network beside other servers", small_network.run, 7.5),
    "hot_path": Part("what a request costs the sidecar alone", hot_path.run, 1.5, rounds=5),
    "embeddings": Part("MiniLM beside infinity-emb and a plain handler", embeddings.run, 3),
    "recognition": Part("Whisper beside faster-whisper and onnx-asr", recognition.run, 2),
    "synthesis": Part("voices beside their runtimes and Piper's server", synthesis.run, 1.5),
    "streams": Part("the first sound of a long text", streams.run, 2.5),
    "archives": Part("an archive with a handler of its own", archives.run, 6.5),
    "priorities": Part("urgent requests, and clients that leave", priorities.run, 1.5),
    "growth": Part("how cost grows", growth.run, 3),
    "wakes": Part("sleeping models beside bare processes", wakes.run, 1.5),
    "start": Part("scripts/serve until it answers", start.run, 1.5),
    "idle": Part("what is taken while nobody asks", idle.run, 2),
    "memory": Part("the sidecar's memory under load", memory.run, 61),
}


def main(
    arguments: Sequence[str], parts: Mapping[str, Part] = PARTS, document: Path = DOCUMENT
) -> int:
    """Run the requested *parts*.  Return 1 if one could not be measured."""
    parser = _parser(parts)
    options = parser.parse_args(arguments)
    unknown = [each for each in options.parts if each not in parts]
    if unknown or not (options.parts or options.all or options.publish):
        parser.error(f"expected --all or some of: {', '.join(parts)}; got {unknown or 'nothing'}")
    if options.publish:
        return _publish_printed(options.publish, document)
    asked = dict.fromkeys([*(_all_but_long(parts) if options.all else ()), *options.parts])
    failed = False
    try:
        for name in asked:
            effort = _effort(parts[name], options)
            report, well = _measured(name, parts[name], effort)
            print(f"\n## {name}\n\n{report.text}", flush=True)
            if not options.print_only:
                well &= _published(name, report, document, effort)
            failed |= not well
    except KeyboardInterrupt as exc:
        tell(f"interrupted by {exc}")
        return INTERRUPTED
    return 1 if failed else 0


def _all_but_long(parts: Mapping[str, Part]) -> list[str]:
    return [name for name in parts if name != "memory"]


def _effort(part: Part, options: argparse.Namespace) -> Effort:
    return Effort(
        part.rounds if options.rounds is None else options.rounds,
        part.seconds if options.seconds is None else options.seconds,
        options.minutes,
    )


def _parser(parts: Mapping[str, Part]) -> argparse.ArgumentParser:
    lines = "\n".join(
        f"  {name:14} {part.minutes:>4g} min  {part.about}" for name, part in parts.items()
    )
    whole = sum(parts[name].minutes for name in _all_but_long(parts))
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description=f"{__doc__}\nParts, and what each takes on two cores that do nothing else:\n\n"
        f"{lines}\n\nAll but memory: about {whole:g} minutes.  Peers are installed by pip into "
        "var/peers/ first,\neach into an environment of its own; that is not counted here.  "
        "small_network, archives,\ngrowth and memory need the program wrk.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="one of those above")
    parser.add_argument("--all", action="store_true", help="every part but memory")
    parser.add_argument("--rounds", type=int, help="that count (default: 3; of hot_path 5)")
    parser.add_argument("--seconds", type=float, help="of each load (default: 2)")
    parser.add_argument("--minutes", type=float, default=60.0, help="of memory (default: 60)")
    parser.add_argument("--print-only", action="store_true", help="leave the document as it is")
    parser.add_argument(
        "--publish",
        type=Path,
        metavar="FILE",
        help="measure nothing: put into the document what a run with --print-only wrote to FILE",
    )
    return parser


def _measured(name: str, part: Part, effort: Effort) -> tuple[Report, bool]:
    """Return what a part found, and whether it could be measured; one that fails says so."""
    where = f"{datetime.now(UTC):%Y-%m-%d}, {description()}."
    tell(f"{name}: about {part.minutes:g} minutes")
    began = time.monotonic()
    well = True
    try:
        with workspace():
            report = asyncio.run(part.run(effort))
    except Exception as exc:  # noqa: BLE001 - the other parts are measured all the same
        failure = f"{type(exc).__name__}: {_line(str(exc))}"
        tell(f"{name}: failed: {failure}")
        report, well = Report(f"This part could not be measured: `{failure}`"), False
    tell(f"{name}: took {(time.monotonic() - began) / 60:.1f} minutes")
    return report._replace(text=f"{where}\n\n{report.text}"), well


def _published(name: str, report: Report, document: Path, effort: Effort) -> bool:
    """Write *report* into *document*; without its plots where they cannot be drawn."""
    try:
        publish(name, report, document, effort.environments)
    except (OSError, subprocess.CalledProcessError) as exc:
        tell(f"{name}: cannot draw: {exc}")
        write_section(name, report.text, document)
        return False
    return True


def _line(text: str, longest: int = 300) -> str:
    """Return *text* in one line that Markdown leaves alone between backticks."""
    return " ".join(text.replace("`", "'").split())[:longest]


def _publish_printed(file: Path, document: Path) -> int:
    """Put the parts that *file* holds into *document*; their plots are left out."""
    found = dict(printed(file.read_text()))
    if not found:
        tell(f"{file}: holds no part; expected what scripts/bench PART --print-only writes")
        return 1
    for name, text in found.items():
        write_section(name, text, document)
        tell(f"{name}: published")
    return 0


def printed(text: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each part in what a run printed; progress is left out."""
    said = re.sub(r"^\d\d:\d\d:\d\d  .*\n", "", text, flags=re.MULTILINE)
    _, *rest = re.split(rf"^## ({'|'.join(PARTS)})$", said, flags=re.MULTILINE)
    for name, body in zip(rest[::2], rest[1::2], strict=True):
        if body.strip():
            yield name, body.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
