"""Draws a plot: `python draw.py FILE.svg`, told by JSON on standard input."""

import json
import sys

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib import ticker

SIZE_INCHES = (7.2, 3.6)


def main(path: str) -> None:
    """Write the file; the same input gives the same bytes."""
    plot = json.load(sys.stdin)
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "bench", "font.size": 9})
    figure, axes = plt.subplots(figsize=SIZE_INCHES, layout="constrained")
    for name, points in plot["lines"].items():
        ours = name.startswith("ours")
        axes.plot(*zip(*points, strict=True), label=name, marker="o", linewidth=3 if ours else 1)
    axes.set(title=plot["title"], xlabel=plot["x"], ylabel=plot["y"], xscale="log", yscale="log")
    axes.set_xticks(sorted({x for points in plot["lines"].values() for x, _ in points}))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(ticker.NullFormatter())
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", frameon=False)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main(sys.argv[1])
