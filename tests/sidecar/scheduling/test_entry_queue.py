"""The queue's rules.  Time is an argument."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import QueueFull
from sidecar.scheduling.entry import AwaitedEntry, Entry
from sidecar.scheduling.entry_queue import EntryQueue


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def entry(
    loop: asyncio.AbstractEventLoop, name: str = "", *, priority: int = 0, alone: bool = False
) -> AwaitedEntry:
    return AwaitedEntry(name.encode(), loop.create_future(), priority=priority, alone=alone)


def queue(
    max_entries: int = 1000, max_bytes: int = 10**6, ageing_seconds: float = 1.0
) -> EntryQueue:
    return EntryQueue(max_entries=max_entries, max_bytes=max_bytes, ageing_seconds=ageing_seconds)


def names(batch: list[Entry]) -> list[str]:
    return [bytes(each.body).decode() for each in batch]


def test_a_higher_priority_goes_first(loop: asyncio.AbstractEventLoop) -> None:
    waiting = queue()
    for priority in (3, 0, 10, 5):
        waiting.put([entry(loop, str(priority), priority=priority)], now=0.0)
    assert names(waiting.take(4, 1000)) == ["10", "5", "3", "0"]


@pytest.mark.parametrize(
    ("priorities", "sizes"),
    [
        pytest.param([10, 0, 0, 0, 0, 0], [2, 4], id="one urgent"),
        pytest.param([10, 9, 6, 6, 4, 0], [4, 2], id="several"),
        pytest.param([5, 4, 3, 2, 1, 1], [4, 2], id="none by far"),
        pytest.param([10, 0], [2], id="few wait"),
    ],
)
def test_a_job_with_an_urgent_input_is_filled_with_few_others(
    loop: asyncio.AbstractEventLoop, priorities: list[int], sizes: list[int]
) -> None:
    waiting = queue()
    waiting.put([entry(loop, priority=priority) for priority in priorities], now=0.0)
    taken = []
    while batch := waiting.take(4, 1000, max_with_urgent=2):
        taken.append(len(batch))
    assert taken == sizes


def test_an_urgent_input_behind_one_that_waited_long_has_a_small_job_too(
    loop: asyncio.AbstractEventLoop,
) -> None:
    waiting = queue(ageing_seconds=1.0)
    waiting.put([entry(loop, "old")], now=0.0)
    waiting.put([entry(loop, "urgent", priority=10), entry(loop, "new")], now=11.0)
    assert names(waiting.take(4, 1000, max_with_urgent=2)) == ["old", "urgent"]


def test_within_a_priority_the_first_come_is_the_first_served(
    loop: asyncio.AbstractEventLoop,
) -> None:
    waiting = queue()
    for name in "abc":
        waiting.put([entry(loop, name, priority=4)], now=0.0)
    assert names(waiting.take(3, 1000)) == ["a", "b", "c"]


def test_waiting_raises_priority_so_that_zero_is_never_starved(
    loop: asyncio.AbstractEventLoop,
) -> None:
    waiting = queue(ageing_seconds=1.0)
    waiting.put([entry(loop, "old", priority=0)], now=0.0)
    waiting.put([entry(loop, "new", priority=5)], now=6.0)
    assert names(waiting.take(1, 1000)) == ["old"]


def test_a_full_queue_takes_all_of_a_request_or_nothing(loop: asyncio.AbstractEventLoop) -> None:
    waiting = queue(max_entries=3)
    waiting.put([entry(loop), entry(loop)], now=0.0)
    with pytest.raises(QueueFull):
        waiting.put([entry(loop), entry(loop)], now=0.0)
    assert len(waiting) == 2


def test_the_queue_is_bounded_in_bytes_but_accepts_one_large_request(
    loop: asyncio.AbstractEventLoop,
) -> None:
    waiting = queue(max_bytes=10)
    waiting.put([entry(loop, "x" * 50)], now=0.0)
    with pytest.raises(QueueFull):
        waiting.put([entry(loop, "y")], now=0.0)


def test_a_batch_is_bounded_in_bytes_and_is_never_empty(loop: asyncio.AbstractEventLoop) -> None:
    waiting = queue()
    waiting.put([entry(loop, "x" * 50), entry(loop, "y" * 50), entry(loop, "z")], now=0.0)
    assert [len(waiting.take(8, 60)), len(waiting.take(8, 60))] == [1, 2]


def test_an_entry_that_must_run_alone_is_taken_alone(loop: asyncio.AbstractEventLoop) -> None:
    waiting = queue()
    waiting.put([entry(loop, "a"), entry(loop, "b", alone=True), entry(loop, "c")], now=0.0)
    assert [names(waiting.take(8, 1000)) for _ in range(3)] == [["a"], ["b"], ["c"]]


def test_entries_without_a_waiting_client_are_skipped(
    loop: asyncio.AbstractEventLoop,
) -> None:
    waiting = queue(max_entries=2)
    left, stays = entry(loop, "left"), entry(loop, "stays")
    waiting.put([left, stays], now=0.0)
    left.reply.cancel()
    waiting.discard([left])
    waiting.put([entry(loop, "new")], now=1.0)
    assert names(waiting.take(8, 1000)) == ["stays", "new"]
    assert len(waiting) == 0


def test_a_requeued_entry_keeps_its_place(loop: asyncio.AbstractEventLoop) -> None:
    waiting = queue()
    waiting.put([entry(loop, "first")], now=0.0)
    waiting.put([entry(loop, "second")], now=1.0)
    (first,) = waiting.take(1, 1000)
    waiting.put_back(first)
    assert names(waiting.take(1, 1000)) == ["first"]


def test_clearing_gives_back_all_that_somebody_waits_for(loop: asyncio.AbstractEventLoop) -> None:
    waiting = queue()
    entries = [entry(loop, name) for name in "abc"]
    waiting.put(entries, now=0.0)
    entries[1].reply.cancel()
    waiting.discard([entries[1]])
    assert sorted(names(waiting.clear())) == ["a", "c"]
    assert len(waiting) == 0
    assert waiting.take(8, 1000) == []


Step = tuple[str, int]
STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "take", "leave", "put_back"]), st.integers(0, 10)),
    max_size=80,
)


@given(STEPS)
def test_each_entry_is_taken_exactly_once(
    loop: asyncio.AbstractEventLoop, steps: list[Step]
) -> None:
    waiting = queue(max_entries=10**6)
    queued: dict[str, Entry] = {}
    taken: list[Entry] = []
    for number, (step, value) in enumerate(steps):
        if step == "put":
            new = entry(loop, str(number), priority=value, alone=value == 7)
            waiting.put([new], now=float(number))
            queued[str(number)] = new
        elif step == "take":
            for got in waiting.take(value + 1, 10**6):
                assert queued.pop(bytes(got.body).decode()) is got
                taken.append(got)
        elif step == "leave" and queued:
            left = queued.pop(sorted(queued)[value % len(queued)])
            assert isinstance(left, AwaitedEntry)
            left.reply.cancel()
            waiting.discard([left])
        elif step == "put_back" and taken:
            back = taken.pop()
            waiting.put_back(back)
            queued[bytes(back.body).decode()] = back
        assert len(waiting) == len(queued)
    rest = []
    while batch := waiting.take(5, 10**6):
        rest += batch
    assert {bytes(each.body).decode() for each in rest} == set(queued)


@given(st.lists(st.tuples(st.integers(0, 10), st.floats(0, 30)), min_size=1, max_size=60))
def test_the_order_is_that_of_priority_plus_age(
    loop: asyncio.AbstractEventLoop, arrivals: list[tuple[int, float]]
) -> None:
    waiting = queue(ageing_seconds=2.0)
    for priority, now in sorted(arrivals, key=lambda arrival: arrival[1]):
        waiting.put([entry(loop, priority=priority)], now=now)
    batch = waiting.take(len(arrivals), 10**6)
    scheduling = [each.priority + (30 - each.enqueued_at) / 2.0 for each in batch]
    assert scheduling == pytest.approx(sorted(scheduling, reverse=True))
