"""What the attacks measure, and when a report is a failure."""

import io
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import av
import pytest

from tests import run_queue
from tests.attacks.attack import (
    BY_THE_CLOCK,
    ITS_OWN_DOING,
    LIVEZ_MS,
    Attack,
    Report,
    percentile_ms,
    probed,
    problems,
)
from tests.attacks.flac import CHANNELS, RATE_HZ, silence
from tests.attacks.probe import Look, read
from tests.attacks.raw_http import exchange, request
from tests.integration.server import ROOT, Server, free_port
from tests.waiting import until, until_awaited

QUIET = [0.001] * 1000
BURNERS = 2 * len(os.sched_getaffinity(0))
LOOKS = 30
counted = pytest.mark.skipif(not run_queue.are_counted(), reason=run_queue.UNKNOWN)


async def nothing(_: Server) -> list[int]:
    return []


def report(**values: object) -> Report:
    """One of an attack that did no harm, but for *values*."""
    good = Report(
        name="",
        attackers=Counter({400: 1}),
        others=Counter({200: 9}),
        wrong=0,
        quiet_ms=5.0,
        livez_ms=10.0,
        livez_longest_ms=20.0,
        livez_failed=0,
        peak_mib=1.0,
        seconds=0.0,
    )
    return good._replace(**values)  # type: ignore[arg-type]


def test_a_paused_server_delays_sleep() -> None:
    assert percentile_ms(QUIET, 0.99) == pytest.approx(1.0)
    assert percentile_ms([*QUIET, 2.0], 0.99) > 1800


def test_the_slowest_look_is_the_last_percentile() -> None:
    assert percentile_ms([*QUIET, 0.05], 1.0) == pytest.approx(50.0)


def test_an_attack_without_harm_is_no_problem() -> None:
    assert problems(Attack("", nothing), report()) == []


@pytest.mark.parametrize(
    "values",
    [
        {"attackers": Counter({500: 1})},
        {"attackers": Counter({0: 1})},
        {"others": Counter({200: 9, 503: 1})},
        {"wrong": 1},
        {"livez_ms": LIVEZ_MS + 1},
        {"livez_longest_ms": 6 * LIVEZ_MS},
        {"livez_failed": 1},
        {"peak_mib": 65.0},
        {"seconds": 16.0},
        {"problem": "the attack found something"},
    ],
    ids=lambda values: next(iter(values)),
)
def test_harm_is_a_problem(values: dict[str, object]) -> None:
    assert len(problems(Attack("", nothing), report(**values))) == 1


@pytest.fixture(scope="module")
def burning_processors() -> Iterator[None]:
    """Processes that want all processors that this one may use."""
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(BURNERS)]
    yield
    for each in burners:
        each.kill()
        each.wait()


@pytest.fixture(scope="module")
def stallable() -> Iterator[tuple[int, int]]:
    """The port and the process of a server that stands still when it is told to."""
    port = free_port()
    command = [sys.executable, "-m", "tests.attacks.stallable_server", str(port)]
    server = subprocess.Popen(command, cwd=ROOT)
    yield port, server.pid
    server.terminate()
    server.wait()


async def looks_at(stallable: tuple[int, int], stall: str = "") -> list[Look]:
    """Look for a while at a server of which *stall* is asked meanwhile."""
    port, _ = stallable
    alive = request("GET", "/livez")
    await until_awaited(lambda: exchange(port, alive), lambda answer: answer.status == 200)
    async with probed(*stallable) as file:
        if stall:
            await exchange(port, request("POST", f"/{stall}"))
        return await until(lambda: (looks := read(file).looks)[LOOKS:] and looks)


@counted
async def test_a_machine_that_is_busy_delays_nothing(
    stallable: tuple[int, int], burning_processors: None
) -> None:
    for _ in range(3):  # as often as an attack is tried
        looks = await looks_at(stallable)
        assert sum(each.held_up for each in looks) > 0
        if percentile_ms(map(ITS_OWN_DOING, looks), 0.99) < LIVEZ_MS:
            return
    assert not looks


@counted
@pytest.mark.parametrize("stall", ["compute", "sleep", "compute_in_thread"])
async def test_a_server_that_stands_still_is_seen_on_a_busy_machine(
    stallable: tuple[int, int], burning_processors: None, stall: str
) -> None:
    looks = await looks_at(stallable, stall)
    assert percentile_ms(map(ITS_OWN_DOING, looks), 0.99) > LIVEZ_MS


def test_by_the_clock_all_of_a_look_counts() -> None:
    look = Look(0.0, 2.0, well=True, held_up=1.5)
    assert (BY_THE_CLOCK(look), ITS_OWN_DOING(look)) == (2.0, 0.5)


def test_of_a_process_that_is_gone_no_waits_are_taken_off() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert run_queue.ProcessorWaits(ended.pid).held_up(0.0) == 0


def test_silence_is_a_flac_file_as_long_as_it_says() -> None:
    with av.open(io.BytesIO(silence(3.0)), "r") as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
        stream = container.streams.audio[0]
        assert (stream.rate, stream.channels) == (RATE_HZ, CHANNELS)
    assert samples / RATE_HZ == pytest.approx(3.0, abs=0.2)
    assert len(silence(60.0)) < 30_000
