"""When TorchServe counts as frozen, and how soon it is started again."""

import asyncio
import errno
from typing import Any, cast

import pytest

from sidecar.torchserve.supervisor import Supervisor, is_frozen, next_pause


@pytest.mark.parametrize(
    ("now", "answered_at", "frozen"),
    [
        (50.0, None, False),  # it is starting
        (120.0, None, False),
        (120.1, None, True),
        (50.0, 49.0, False),
        (50.0, 20.0, False),
        (50.1, 20.0, True),
    ],
)
def test_silence_is_frozen_and_a_start_has_more_time(
    now: float, answered_at: float | None, frozen: bool
) -> None:
    assert is_frozen(now, 0.0, answered_at) is frozen


def test_pauses_grow_until_it_lives_for_a_while() -> None:
    assert [next_pause(pause, 3.0) for pause in (0.5, 1.0, 20.0, 30.0)] == [1.0, 2.0, 30.0, 30.0]
    assert next_pause(30.0, 60.0) == 0.5


class Stubborn:
    """Cannot be started at first, as on a full disk; then it lives until it is told not to."""

    def __init__(self) -> None:
        self.starts = 0
        self.runs = asyncio.Event()

    async def start(self) -> None:
        self.starts += 1
        if self.starts == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.runs.set()

    async def wait(self) -> int:
        await asyncio.Event().wait()
        return 0

    def kill(self) -> None:
        assert not self.runs.is_set()


async def test_what_cannot_be_started_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    process = Stubborn()
    task = asyncio.create_task(Supervisor(cast("Any", process), lambda: None, lambda: None).run())
    async with asyncio.timeout(10):
        await process.runs.wait()
    task.cancel()
    assert "cannot be started: [Errno 28] No space left on device" in caplog.text
