"""One fault: what is done, and what came of it."""

import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from tests.integration.server import Server
from tests.live.crowd import BUSY_FACTOR, CUT_OFF, Crowd, counts, recovery_seconds

Act = Callable[[Server], Awaitable[list[int]]]
WELL_SECONDS = 1.5


class Scenario(NamedTuple):
    """*act* does it, and returns the statuses that the culprits themselves got.

    *may_see* are the statuses that the other clients may get besides 200, *quick* ones run in
    the suite.
    """

    name: str
    act: Act
    may_see: frozenset[int] = frozenset()
    culprits_see: frozenset[int] = frozenset()
    within_seconds: float = 30.0
    quick: bool = True

    def on_busy_machine(self) -> "Scenario":
        """Return the same, with the time that a machine which others share may take."""
        return self._replace(within_seconds=BUSY_FACTOR * self.within_seconds)


class Report(NamedTuple):
    """What clients saw of one fault, from the moment it happened."""

    name: str
    others: Counter[int]
    culprits: Counter[int]
    wrong: int
    seconds: float

    @property
    def lost(self) -> int:
        """Requests without an answer."""
        return self.others[CUT_OFF] + self.culprits[CUT_OFF]


async def run(scenario: Scenario, server: Server) -> Report:
    """Lets a crowd ask, does the fault, and waits until all is well again."""
    crowd = Crowd(server.url)
    try:
        await crowd.well_for(0.5)
        fault_at = time.monotonic()
        culprits = await scenario.act(server)
        await crowd.well_for(WELL_SECONDS, limit=max(120.0, scenario.within_seconds))
    finally:
        await crowd.stop()
    after = [each for each in crowd.answers if each.at >= fault_at]
    return Report(
        scenario.name,
        counts(after),
        Counter(culprits),
        sum(not each.right for each in after if each.status != CUT_OFF),
        recovery_seconds(after, fault_at),
    )


def check(scenario: Scenario, report: Report) -> None:
    """What a fault may do, and no more."""
    assert set(report.others) <= {200} | scenario.may_see, report
    assert set(report.culprits) <= scenario.culprits_see, report
    assert scenario.culprits_see <= set(report.culprits), report
    assert report.wrong == 0, report
    assert report.seconds < scenario.within_seconds, report
