"""What is taken up in one turn of the event loop, and in which order the rest follows."""

import asyncio

import pytest

from sidecar.web import turns
from sidecar.web.turns import Turns, take_break


@pytest.fixture
def spent(monkeypatch: pytest.MonkeyPatch) -> Turns:
    """Return turns without time for a second piece of work."""
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.0)
    return Turns()


async def begin(taken_up: Turns, client: str, begun: list[str]) -> None:
    if not taken_up.take():
        await taken_up.wait(client)
    begun.append(client)


async def next_turn() -> None:
    """Let everything run that is ready now."""
    await asyncio.sleep(0)


async def test_a_request_within_the_time_of_a_turn_begins_at_once() -> None:
    taken_up = Turns()
    assert all(taken_up.take() for _ in range(3))


async def test_a_crowd_begins_over_several_turns(spent: Turns) -> None:
    begun: list[str] = []
    crowd = [asyncio.create_task(begin(spent, "a", begun)) for _ in range(3 * turns.RELEASED)]
    counts = []
    while len(begun) < len(crowd):
        before = len(begun)
        await next_turn()
        counts.append(len(begun) - before)
    assert max(counts) <= turns.RELEASED


async def test_clients_take_turns_whoever_sent_more(spent: Turns) -> None:
    begun: list[str] = []
    many = [asyncio.create_task(begin(spent, "many", begun)) for _ in range(50)]
    await next_turn()
    one = asyncio.create_task(begin(spent, "one", begun))
    await asyncio.gather(*many, one)
    assert begun.index("one") <= 3 * turns.RELEASED


async def test_clients_that_left_take_no_turn(spent: Turns) -> None:
    begun: list[str] = []
    left = [asyncio.create_task(begin(spent, "left", begun)) for _ in range(100)]
    await next_turn()
    for task in left:
        task.cancel()
    stays = asyncio.create_task(begin(spent, "left", begun))
    for _ in range(4):
        await next_turn()
    assert stays.done()


async def test_after_a_crowd_requests_begin_at_once_again(
    spent: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd = [asyncio.create_task(begin(spent, "a", [])) for _ in range(20)]
    await next_turn()
    monkeypatch.setattr(turns, "TURN_SECONDS", 60.0)
    assert not spent.take()  # others wait
    await asyncio.gather(*crowd)
    assert spent.take()


async def test_only_long_passes_are_preceded_by_a_break() -> None:
    others = 0

    async def count() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await take_break(turns.LARGE_BYTES)
    assert others == 0
    await take_break(turns.LARGE_BYTES + 1)
    assert others > 3
    counting.cancel()
