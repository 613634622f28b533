"""The table of docs/mistakes.md."""

from pathlib import Path

from sidecar.torchserve.worker_log import shown
from tests.mistakes.made import LOAD, Mistake

DOCUMENT = Path(__file__).parents[2] / "docs" / "mistakes.md"
HEAD = "| Mistake | What is said | Where |\n|---|---|---|\n"


def row(mistake: Mistake, sentence: str) -> str:
    """Return the line of *mistake*; a handler's sentence is on one line by the time it is told."""
    text = shown(sentence) if mistake.where == LOAD else sentence
    return f"| {mistake.what} | {text.replace('|', chr(92) + '|')} | {mistake.where} |"
