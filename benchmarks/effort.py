"""How much of everything is done."""

from pathlib import Path
from typing import NamedTuple

from benchmarks.servers import ROOT


class Effort(NamedTuple):
    """Rounds that count, the seconds of a load, and the minutes of the long one.

    *environments* holds the peers' packages.
    """

    rounds: int = 3
    seconds: float = 2.0
    minutes: float = 60.0
    environments: Path = ROOT / "var" / "peers"
