"""Threads that serve clients in turn."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from sidecar.speech.fair_threads import FairThreads


@pytest.fixture
async def threads() -> AsyncIterator[FairThreads]:
    threads = FairThreads(1)
    yield threads
    threads.close()


async def test_clients_take_turns(threads: FairThreads) -> None:
    done: list[str] = []
    gate = threading.Event()
    first = asyncio.create_task(threads.run("a", gate.wait))
    await asyncio.sleep(0)
    many = [asyncio.create_task(threads.run("a", done.append, f"a{n}")) for n in range(5)]
    await asyncio.sleep(0)
    one = asyncio.create_task(threads.run("b", done.append, "b"))
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, *many, one)
    assert done == ["a0", "b", "a1", "a2", "a3", "a4"]


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
    gate = threading.Event()
    first = asyncio.create_task(threads.run("a", gate.wait))
    await asyncio.sleep(0)
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
    threads, gate = FairThreads(1), threading.Event()
    held = asyncio.create_task(threads.run("a", gate.wait))
    waiting = asyncio.create_task(threads.run("a", lambda: None))
    await asyncio.sleep(0)
    threads.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    gate.set()
    await held
