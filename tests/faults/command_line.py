"""What `scripts/faults` and `scripts/check_alerts` are told: which faults, on which machine."""

import argparse
from typing import NamedTuple

from tests.faults.scenario import Scenario
from tests.faults.scenarios import SCENARIOS
from tests.live.crowd import BUSY_HELP


class Chosen(NamedTuple):
    """The faults to be caused, and whether other work shares the machine meanwhile."""

    scenarios: list[Scenario]
    busy: bool

    @property
    def fills_table(self) -> bool:
        """Whether what is measured belongs into the documents: all faults, on a quiet machine."""
        return len(self.scenarios) == len(SCENARIOS) and not self.busy


def read(program: str, description: str) -> Chosen:
    """Return what the command line of *program* says; exit if it names no fault."""
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("names", nargs="*", help="only faults whose name holds one of these")
    parser.add_argument("--busy", action="store_true", help=BUSY_HELP)
    told = parser.parse_args()
    found = [
        each
        for each in SCENARIOS
        if not told.names or any(word in each.name for word in told.names)
    ]
    if not found:
        parser.error(
            f"no fault is called {told.names}; there are: {[each.name for each in SCENARIOS]}"
        )
    return Chosen(found, told.busy)
