"""What the attacks measure, and when a report is a failure."""

import io
from collections import Counter

import av
import pytest

from tests.attacks.attack import LIVEZ_MS, Attack, Report, percentile_ms, problems
from tests.attacks.flac import CHANNELS, RATE_HZ, silence
from tests.attacks.probe import Look
from tests.integration.server import Server

QUIET = [Look(number / 100, 0.001, well=True) for number in range(1000)]


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
    assert percentile_ms([*QUIET, Look(10.0, 2.0, well=True)], 0.99) > 1800


def test_the_slowest_look_is_the_last_percentile() -> None:
    assert percentile_ms([*QUIET, Look(10.0, 0.05, well=True)], 1.0) == pytest.approx(50.0)


def test_an_attack_without_harm_is_no_problem() -> None:
    assert problems(Attack("", nothing), report(), strict=True) == []


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
    assert len(problems(Attack("", nothing), report(**values), strict=True)) == 1


def test_a_busy_machine_may_be_three_times_as_slow_as_it_was_before() -> None:
    slow = report(quiet_ms=60.0, livez_ms=150.0)
    assert problems(Attack("", nothing), slow, strict=False) == []
    assert problems(Attack("", nothing), slow, strict=True)
    assert problems(Attack("", nothing), slow._replace(livez_ms=190.0), strict=False)


def test_silence_is_a_flac_file_as_long_as_it_says() -> None:
    with av.open(io.BytesIO(silence(3.0)), "r") as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
        stream = container.streams.audio[0]
        assert (stream.rate, stream.channels) == (RATE_HZ, CHANNELS)
    assert samples / RATE_HZ == pytest.approx(3.0, abs=0.2)
    assert len(silence(60.0)) < 30_000
