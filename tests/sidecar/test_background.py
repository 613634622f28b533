"""Tasks beside the requests outlive whatever they raise."""

import asyncio

import pytest

from sidecar.background import BackgroundTasks


class Work:
    """Raises *failures* one after another; then it runs until it is cancelled."""

    def __init__(self, *failures: BaseException) -> None:
        self._failures = list(failures)
        self.runs = asyncio.Event()

    async def __call__(self) -> None:
        if self._failures:
            raise self._failures.pop(0)
        self.runs.set()
        await asyncio.Event().wait()


@pytest.mark.parametrize(
    "failure",
    [
        OSError(24, "Too many open files"),
        KeyError("a bug"),
        MemoryError(),
        asyncio.CancelledError(),
    ],
    ids=repr,
)
async def test_a_task_that_fails_is_logged_counted_and_started_again(
    failure: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    failed: list[str] = []
    tasks, work = BackgroundTasks(failed.append), Work(failure)
    async with tasks.running("watch", work):
        while not failed:
            await asyncio.sleep(0)
        assert tasks.down == {"watch"}
        await work.runs.wait()
        assert not tasks.down
    assert failed == ["watch"]
    assert "the background task watch has failed; starting it again in 0.5 s" in caplog.text
    assert "Traceback" in caplog.text


async def test_a_task_ends_with_its_block_even_before_a_restart() -> None:
    tasks = BackgroundTasks(lambda _: None)
    work = Work(RuntimeError("once"))
    async with tasks.running("watch", work):
        while not tasks.down:
            await asyncio.sleep(0)
    assert not work.runs.is_set()


async def test_a_task_that_returns_is_done() -> None:
    calls: list[int] = []

    async def announce() -> None:
        calls.append(1)

    tasks = BackgroundTasks(lambda _: None)
    async with tasks.running("announce", announce):
        while not calls:
            await asyncio.sleep(0)
    assert (calls, tasks.down) == ([1], set())
