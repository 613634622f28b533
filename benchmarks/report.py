"""Tables in Markdown, plots, and the sections of documents that programs write."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.peers.environments import HERE, environment
from benchmarks.turns import OURS, Outcome, Turn, ratio


class Plot(NamedTuple):
    """Lines over one axis, which both are logarithmic: *lines* are points by what they show."""

    name: str
    title: str
    x: str
    y: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


class Report(NamedTuple):
    """What a part found, as Markdown, and its plots."""

    text: str
    plots: Sequence[Plot] = ()


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(each)} |" for each in lines)


def comparison(outcomes: Sequence[Outcome], subject: str = OURS) -> str:
    """Return the table of *outcomes*; its last column is *subject*'s rate by each one's."""
    (ours,) = (each for each in outcomes if each.name == subject)
    head = ["", "answers/s", "p50 ms", "p99 ms", "CPU s per 1,000", "peak MiB", "ours / it"]
    return table(head, [_row(each, ours) for each in outcomes])


def _row(outcome: Outcome, ours: Outcome) -> list[str]:
    if outcome.refusal is not None:
        return [outcome.name, "", "", "", "", "", f"refused: {outcome.refusal}"]
    figures = (
        lambda turn: turn.per_second,
        lambda turn: turn.answers.p50_ms,
        lambda turn: turn.answers.p99_ms,
        lambda turn: turn.cpu_per_thousand,
        _peak,
    )
    by_it = "" if outcome is ours else _shown(ratio(ours, outcome))
    return [outcome.name, *(number(outcome.median(each)) for each in figures), by_it]


def _peak(turn: Turn) -> float:
    return turn.peak_mib


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.2f}"


def number(value: float) -> str:
    """Return *value* with three digits that count."""
    if value >= 1000:
        return f"{value:,.0f}"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:.{digits}f}"


def write_section(name: str, text: str, document: Path) -> None:
    """Put *text* between the marks of *name* in *document*.

    Raises ValueError where the marks are not there.
    """
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
    before, found, rest = document.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{document.name}: has no section {name!r}")
    document.write_text(f"{before}{begin}\n{text}\n\n{end}{after}")


def publish(name: str, report: Report, document: Path, environments: Path) -> None:
    """Write *report* into section *name* of *document*, and its plots beside that."""
    folder = document.parent / "plots"
    shown = []
    for plot in report.plots:
        folder.mkdir(exist_ok=True)
        draw(plot, folder / f"{plot.name}.svg", environments)
        shown.append(f"![{plot.title}](plots/{plot.name}.svg)")
    write_section(name, "\n\n".join([report.text, *shown]), document)


def draw(plot: Plot, path: Path, environments: Path) -> None:
    """Draw *plot* as SVG by matplotlib, which has an environment of its own in *environments*."""
    python = environment("matplotlib", environments)
    command = [python, str(HERE / "draw.py"), str(path)]
    subprocess.run(command, input=json.dumps(plot._asdict()), text=True, check=True)
