"""Threads that serve clients in turn."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from sidecar.speech.fair_threads import FairThreads
from tests.waiting import until


@pytest.fixture
async def threads() -> AsyncIterator[FairThreads]:
    threads = FairThreads(1)
    yield threads
    threads.close()


async def busy(threads: FairThreads) -> tuple[asyncio.Task[None], threading.Event]:
    """Return a turn of the client "a" that has begun, and what ends it."""
    begun, gate = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        gate.wait()

    turn = asyncio.create_task(threads.run("a", work))
    await until(begun.is_set)
    return turn, gate


async def test_clients_take_turns(threads: FairThreads) -> None:
    done: list[str] = []
    first, gate = await busy(threads)
    many = [asyncio.create_task(threads.run("a", done.append, f"a{n}")) for n in range(5)]
    await asyncio.sleep(0)
    one = asyncio.create_task(threads.run("b", done.append, "b"))
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, *many, one)
    assert done == ["a0", "b", "a1", "a2", "a3", "a4"]


async def test_what_comes_first_passes_the_turns_that_wait(threads: FairThreads) -> None:
    done: list[str] = []
    held, gate = await busy(threads)
    turns = [asyncio.create_task(threads.run(each, done.append, each)) for each in "abc"]
    await asyncio.sleep(0)
    firsts = [asyncio.create_task(threads.run_first(done.append, each)) for each in "xy"]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(held, *turns, *firsts)
    assert done == ["x", "y", "a", "b", "c"]


async def test_a_turn_begins_without_the_event_loop_when_another_ends(threads: FairThreads) -> None:
    second = threading.Event()
    held, gate = await busy(threads)
    turn = asyncio.create_task(threads.run("b", second.set))
    await asyncio.sleep(0)
    gate.set()
    assert second.wait(60)  # the loop stands still meanwhile
    await asyncio.gather(held, turn)


async def test_one_client_leaves_a_thread_to_others() -> None:
    threads, gate = FairThreads(2), threading.Event()
    held = [asyncio.create_task(threads.run("a", gate.wait)) for _ in range(4)]
    await asyncio.sleep(0)
    assert await threads.run("b", lambda: "done") == "done"
    gate.set()
    await asyncio.gather(*held)
    threads.close()


async def test_a_cancelled_caller_gives_up_its_turn(threads: FairThreads) -> None:
    done: list[str] = []
    first, gate = await busy(threads)
    left = asyncio.create_task(threads.run("a", done.append, "left"))
    await asyncio.sleep(0)
    left.cancel()
    last = asyncio.create_task(threads.run("a", done.append, "last"))
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, last)
    assert done == ["last"]


async def test_a_caller_cancelled_during_work_returns_after_it(threads: FairThreads) -> None:
    begun, gate, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        gate.wait()
        ended.set()

    leaves = asyncio.create_task(threads.run("a", work))
    await asyncio.to_thread(begun.wait)
    for _ in range(2):  # a second cancellation must not hurry it either
        leaves.cancel()
        await asyncio.wait([leaves], timeout=0.05)
    assert not leaves.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    assert ended.is_set()


async def test_an_error_of_work_reaches_only_its_client(threads: FairThreads) -> None:
    with pytest.raises(ZeroDivisionError):
        await threads.run("a", lambda: 1 // 0)
    assert await threads.run("a", lambda: 1) == 1


async def test_waiting_work_ends_with_the_threads() -> None:
    threads = FairThreads(1)
    held, gate = await busy(threads)
    waiting = asyncio.create_task(threads.run("a", lambda: None))
    await asyncio.sleep(0)
    threads.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    gate.set()
    await held
