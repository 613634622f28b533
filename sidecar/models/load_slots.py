"""Who may load a model now: few at a time, and first those that requests wait for."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import IntEnum
from typing import NamedTuple


class Claim(IntEnum):
    """Why a model is loaded; the smaller number goes first."""

    WAKE = 0  # requests wait for it
    LOAD = 1  # unasked
    RETRY = 2  # it has failed before, and is likely to fail again


class _Waiting(NamedTuple):
    claim: Claim
    serial: int
    may_begin: asyncio.Future[None]


class LoadSlots:
    """*count* loads at a time.

    A model that keeps failing must not delay one that is asked for: retries go one at a time,
    when nobody else waits; and where loads that nobody waits for hold every slot, one wake goes
    beside them.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._under_way: Counter[Claim] = Counter()
        self._waiting: list[_Waiting] = []
        self._serials = itertools.count()

    @asynccontextmanager
    async def hold(self, claim: Claim) -> AsyncIterator[None]:
        """Hold a slot; wait for it first."""
        waiting = _Waiting(claim, next(self._serials), asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._admit()
        try:
            await waiting.may_begin
            yield
        finally:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            else:
                self._under_way[claim] -= 1
            self._admit()

    def _admit(self) -> None:
        for waiting in sorted(self._waiting, key=lambda each: (each.claim, each.serial)):
            if not self._may_begin(waiting.claim):
                return
            self._waiting.remove(waiting)
            self._under_way[waiting.claim] += 1
            if not waiting.may_begin.done():
                waiting.may_begin.set_result(None)

    def _may_begin(self, claim: Claim) -> bool:
        free = self._count - self._under_way.total()
        if claim is Claim.WAKE:
            return free > 0 or (free == 0 and self._under_way[Claim.WAKE] < self._count)
        if claim is Claim.RETRY and self._under_way[Claim.RETRY]:
            return False
        return free > 0
