"""Draws a plot: `python draw.py FILE.svg`, told by JSON on standard input."""

import json
import math
import sys
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib import ticker

COLUMNS = 3
PANEL_INCHES = (3.4, 3.0)
LEGEND_INCHES = 2.2


def main(path: str) -> None:
    """Write the file; the same input gives the same bytes."""
    plot = json.load(sys.stdin)
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "bench", "font.size": 9})
    panels = plot["panels"]
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure, grid = plt.subplots(
        rows,
        columns,
        figsize=(columns * PANEL_INCHES[0] + LEGEND_INCHES, rows * PANEL_INCHES[1]),
        layout="constrained",
        squeeze=False,
    )
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    colours: dict[str, str] = {}
    for axes, panel in zip(grid.flat, panels, strict=False):
        for name in panel["lines"]:
            colours.setdefault(name, f"C{len(colours)}")
        in_words = any(isinstance(x, str) for points in panel["lines"].values() for x, _ in points)
        (draw_bars if in_words else draw_lines)(axes, panel["lines"], colours)
        axes.set(xlabel=panel["x"], ylabel=panel["y"])
        axes.grid(axis="y" if in_words else "both", alpha=0.3)
    handles: dict[str, Any] = {}
    for axes in grid.flat:
        handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles, loc="outside right upper", frameon=False)
    figure.suptitle(plot["title"])
    figure.savefig(path, metadata={"Date": None})


def draw_lines(axes: Any, lines: dict[str, Any], colours: dict[str, str]) -> None:
    """Draw points that lines join; what is ours is thicker."""
    for name, points in lines.items():
        width = 3 if name.startswith("ours") else 1
        axes.plot(
            *zip(*points, strict=True), label=name, color=colours[name], marker="o", linewidth=width
        )
    axes.set(xscale="log", yscale="log")
    axes.set_xticks(sorted({x for points in lines.values() for x, _ in points}))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(ticker.NullFormatter())


def draw_bars(axes: Any, lines: dict[str, Any], colours: dict[str, str]) -> None:
    """Draw a group of bars for each word."""
    words = list(dict.fromkeys(x for points in lines.values() for x, _ in points))
    width = 0.8 / len(lines)
    for number, (name, points) in enumerate(lines.items()):
        shift = (number - (len(lines) - 1) / 2) * width
        places = [words.index(x) + shift for x, _ in points]
        axes.bar(places, [y for _, y in points], width, label=name, color=colours[name])
    axes.set_xticks(range(len(words)), words)


if __name__ == "__main__":
    main(sys.argv[1])
