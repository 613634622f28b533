"""When TorchServe counts as frozen, and how soon it is started again."""

import asyncio
import errno
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sidecar.torchserve.supervisor import SILENT_SECONDS, Supervisor, is_frozen
from tests.waiting import LIMIT_SECONDS, until


@pytest.mark.parametrize(
    ("now", "excused_at", "frozen"),
    [(200.0, 199.0, False), (200.0, 170.0, False), (200.1, 170.0, True), (200.0, -1.0, True)],
)
def test_silence_counts_from_when_we_could_last_not_ask(
    now: float, excused_at: float, frozen: bool
) -> None:
    assert is_frozen(now, 0.0, 100.0, excused_at) is frozen


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


SILENT: Any = SimpleNamespace(answered_at=None, excused_at=float("-inf"))


class Stubborn:
    """Fails to start at first, as on a full disk; then it lives until it is told to end."""

    def __init__(self) -> None:
        self.starts = 0
        self.pid: int | None = None
        self.runs = asyncio.Event()

    async def start(self) -> None:
        self.starts += 1
        if self.starts == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.pid = 1
        self.runs.set()

    async def wait(self) -> int:
        await asyncio.Event().wait()
        return 0

    def kill(self) -> None:
        assert not self.runs.is_set()


class Clock:
    """Stands where it is put, and counts how often it is read."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.reads = 0

    def __call__(self) -> float:
        self.reads += 1
        return self.now


async def test_a_failed_start_is_retried(caplog: pytest.LogCaptureFixture) -> None:
    process = Stubborn()
    task = asyncio.create_task(Supervisor(cast("Any", process), lambda: None, SILENT).run())
    async with asyncio.timeout(LIMIT_SECONDS):
        await process.runs.wait()
    task.cancel()
    assert "cannot be started: [Errno 28] No space left on device" in caplog.text


async def test_a_living_torchserve_survives_a_restart_of_its_supervisor() -> None:
    process = Stubborn()
    process.starts, process.pid = 1, 1
    task = asyncio.create_task(Supervisor(cast("Any", process), lambda: None, SILENT).run())
    done, _ = await asyncio.wait({task}, timeout=0.05)
    assert not done
    assert process.starts == 1
    task.cancel()


@pytest.mark.parametrize("stopped_seconds", [33.0, 3600.0])
async def test_a_paused_supervisor_does_not_end_an_answering_torchserve(
    stopped_seconds: float,
) -> None:
    """As after SIGSTOP and SIGCONT: the last answer is old, and nobody has asked since."""
    clock, process, kills = Clock(), Stubborn(), list[float]()
    engine: Any = SimpleNamespace(answered_at=1000.0, excused_at=float("-inf"))
    process.pid = 1
    process.kill = lambda: kills.append(clock())  # type: ignore[method-assign]
    supervisor = Supervisor(cast("Any", process), lambda: None, engine, clock, look_seconds=0.001)
    task = asyncio.create_task(supervisor.run())
    await asyncio.sleep(0)  # it waits now
    clock.now += stopped_seconds
    await supervisor_looks(clock)
    assert kills == []
    for _ in range(16):  # it goes on being silent while we are awake: it is frozen indeed
        clock.now += 2.0
        await supervisor_looks(clock)
    assert kills
    assert kills[0] - (1000.0 + stopped_seconds) > SILENT_SECONDS
    task.cancel()


async def supervisor_looks(clock: Clock) -> None:
    """Wait until it has looked twice: each time it reads the clock once."""
    before = clock.reads
    await until(lambda: clock.reads >= before + 2)
