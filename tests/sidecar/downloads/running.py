"""One order, run in a thread of this process: no time is lost on starting another."""

import asyncio

from sidecar.downloads.fetching import Fetching
from sidecar.downloads.order import Done, Failed, Order, Place, Report, Wish


async def fetch(wish: Wish, place: Place) -> list[Report]:
    """All reports."""
    reports: list[Report] = []
    await asyncio.to_thread(Fetching(Order(wish=wish, place=place), reports.append).run)
    return reports


async def succeed(wish: Wish, place: Place) -> Done:
    """The last report, which is no failure."""
    last = (await fetch(wish, place))[-1]
    assert isinstance(last, Done), last
    return last


async def fail(wish: Wish, place: Place) -> str:
    """The sentence of the failure."""
    last = (await fetch(wish, place))[-1]
    assert isinstance(last, Failed), last
    return last.error
