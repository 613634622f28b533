"""Tables in Markdown, plots, and the sections of documents that programs write."""

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.peers.environments import HERE, environment
from benchmarks.turns import OURS, Outcome, Turn, ratio

FIGURES: Mapping[str, Callable[[Turn], float]] = {
    "answers/s": lambda turn: turn.per_second,
    "p50 ms": lambda turn: turn.answers.p50_ms,
    "p99 ms": lambda turn: turn.answers.p99_ms,
    "CPU s per 1,000": lambda turn: turn.cpu_per_thousand,
    "peak MiB": lambda turn: turn.peak_mib,
}


class Panel(NamedTuple):
    """One pair of axes: *lines* are points by what they show.

    Numbers are drawn as lines over logarithmic axes.  Where each x is a word, there is a bar for
    each point, and y begins at 0.
    """

    x: str
    y: str
    lines: Mapping[str, Sequence[tuple[float | str, float]]]


class Plot(NamedTuple):
    """Panels side by side that share a legend."""

    name: str
    title: str
    panels: Sequence[Panel]


class Report(NamedTuple):
    """What a part found, as Markdown, and its plots."""

    text: str
    plots: Sequence[Plot] = ()


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(each)} |" for each in lines)


def comparison(outcomes: Sequence[Outcome], sound: Mapping[str, float] | None = None) -> str:
    """Return the table of *outcomes*; its last column is our rate by each one's.

    *sound* has the seconds of sound in a turn by the candidate's name, if that is what is made or
    heard; then there is a column of real-time factors.
    """
    (ours,) = (each for each in outcomes if each.name == OURS)
    head = ["", *FIGURES, *(["real-time factor"] if sound else []), "ours / it"]
    return table(head, [_row(each, ours, sound or {}, len(head)) for each in outcomes])


def _row(outcome: Outcome, ours: Outcome, sound: Mapping[str, float], cells: int) -> list[str]:
    if outcome.refusal is not None:
        return [outcome.name, *[""] * (cells - 2), f"refused: {outcome.refusal}"]
    row = [outcome.name, *(number(outcome.median(each)) for each in FIGURES.values())]
    if outcome.name in sound:
        row.append(f"{real_time_factor(outcome, sound[outcome.name]):.4f}")
    return [*row, "" if outcome is ours else _shown(ratio(ours, outcome))]


def real_time_factor(outcome: Outcome, sound: float) -> float:
    """Return the seconds that a turn took for each of its *sound* seconds."""
    return outcome.median(lambda turn: turn.answers.seconds) / sound


def real_time_panel(
    works: Mapping[str, tuple[Sequence[Outcome], Mapping[str, float]]],
) -> Panel:
    """Return bars of the real-time factors of each work's outcomes, which have so much sound."""
    lines: dict[str, list[tuple[float | str, float]]] = {}
    for work, (outcomes, sound) in works.items():
        for each in outcomes:
            if each.refusal is None:
                point = (work, real_time_factor(each, sound[each.name]))
                lines.setdefault(each.name, []).append(point)
    return Panel("", "real-time factor", lines)


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
    """Write *report* into section *name* of *document*, and its plots beside that.

    Raises OSError or subprocess.CalledProcessError where a plot cannot be drawn; then the document
    is as it was.
    """
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
    told = plot._asdict() | {"panels": [each._asdict() for each in plot.panels]}
    subprocess.run(command, input=json.dumps(told), text=True, check=True)
