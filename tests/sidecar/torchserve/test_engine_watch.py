"""When TorchServe counts as away."""

from collections.abc import Sequence
from typing import Any, cast

import pytest

from sidecar.torchserve.engine_watch import EngineWatch

GOOD, REFUSED, SLOW = (True, 0.0), (False, 0.01), (False, 5.0)


class Pings:
    """A client whose pings are answered or not, after so many seconds; and the clock."""

    def __init__(self, answers: Sequence[tuple[bool, float]]) -> None:
        self._answers = iter(answers)
        self.now = 0.0

    async def ping(self) -> bool:
        answer, seconds = next(self._answers)
        self.now += seconds
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
    ],
)
async def test_it_is_away_when_it_refuses_twice_or_is_silent_for_long(
    answers: list[tuple[bool, float]], up: bool
) -> None:
    pings = Pings(answers)
    watch = EngineWatch(cast("Any", pings), lambda: pings.now)
    for _ in answers:
        await watch.ping()
    assert watch.up is up
