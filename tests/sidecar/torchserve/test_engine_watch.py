"""When TorchServe counts as away."""

from collections.abc import Sequence
from typing import Any, cast

import pytest

from sidecar.torchserve.engine_watch import EngineWatch
from sidecar.torchserve.failures import EngineOutOfReach

GOOD, REFUSED, SLOW = (True, 0.0), (False, 0.01), (False, 5.0)
STOPPED = (False, 33.0)  # this process stood still meanwhile
NO_DESCRIPTOR = (None, 0.0)


class Pings:
    """A client whose pings are answered or not, after so many seconds; and the clock."""

    def __init__(self, answers: Sequence[tuple[bool | None, float]]) -> None:
        self._answers = iter(answers)
        self.now = 0.0

    async def ping(self) -> bool:
        answer, seconds = next(self._answers)
        self.now += seconds
        if answer is None:
            raise EngineOutOfReach("no descriptor")
        return answer


@pytest.mark.parametrize(
    ("answers", "up"),
    [
        ([REFUSED], False),  # it was never there
        ([GOOD], True),
        ([GOOD, REFUSED], True),
        ([GOOD, REFUSED, REFUSED], False),
        ([GOOD, SLOW, SLOW, SLOW], True),
        ([GOOD, SLOW, SLOW, SLOW, SLOW], False),
        ([GOOD, SLOW, SLOW, SLOW, GOOD, SLOW], True),
        ([GOOD, SLOW, SLOW, REFUSED], False),
        ([GOOD, REFUSED, REFUSED, GOOD], True),
        ([GOOD, STOPPED, STOPPED, STOPPED, STOPPED], True),
        ([GOOD, *[NO_DESCRIPTOR] * 100], True),
        ([GOOD, REFUSED, NO_DESCRIPTOR, REFUSED], False),
        ([NO_DESCRIPTOR, STOPPED], False),
    ],
)
async def test_torchserve_is_away_after_two_refusals_or_long_silence(
    answers: list[tuple[bool | None, float]], up: bool
) -> None:
    pings = Pings(answers)
    watch = EngineWatch(cast("Any", pings), lambda: pings.now)
    for _ in answers:
        await watch.ping()
    assert watch.up is up


@pytest.mark.parametrize("silence", [STOPPED, NO_DESCRIPTOR])
async def test_silence_that_is_our_own_fault_is_told_to_the_supervisor(
    silence: tuple[bool | None, float],
) -> None:
    pings = Pings([GOOD, silence])
    watch = EngineWatch(cast("Any", pings), lambda: pings.now)
    await watch.ping()
    assert watch.excused_at == float("-inf")
    await watch.ping()
    assert watch.excused_at == pings.now
