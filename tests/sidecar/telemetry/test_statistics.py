"""Requests counted and timed; the clock is an argument."""

import random

import pytest

from sidecar.telemetry.statistics import Recent, Statistics


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def finish(
    statistics: Statistics, clock: Clock, seconds: float, *, inputs: int = 1, success: bool = True
) -> None:
    began = statistics.begin()
    clock.now += seconds
    statistics.end(began, inputs=inputs, success=success)


def test_an_empty_measurement_is_null(clock: Clock) -> None:
    statistics = Statistics(clock)
    assert statistics.average is None
    assert statistics.recent() == Recent(None, None, None, None)


def test_failures_count_as_finished_and_stay_out_of_the_averages(clock: Clock) -> None:
    statistics = Statistics(clock)
    finish(statistics, clock, 2.0)
    finish(statistics, clock, 9.0, success=False)
    assert (statistics.finished, statistics.succeeded) == (2, 1)
    assert (statistics.total_seconds, statistics.average) == (2.0, 2.0)


def test_a_request_is_active_until_it_is_finished(clock: Clock) -> None:
    statistics = Statistics(clock)
    began = statistics.begin()
    assert statistics.active == 1
    statistics.end(began, inputs=0, success=False)
    assert statistics.active == 0


def test_percentiles_are_within_one_percent_of_the_true_ones(clock: Clock) -> None:
    statistics = Statistics(clock)
    chance = random.Random(1)
    taken = sorted(chance.lognormvariate(-4, 1) for _ in range(1000))
    for seconds in taken:
        began = clock.now - seconds
        statistics.active += 1
        statistics.end(began, inputs=1, success=True)
    recent = statistics.recent()
    assert recent.p50 == pytest.approx(taken[499], rel=0.011)
    assert recent.p95 == pytest.approx(taken[949], rel=0.011)
    assert recent.p99 == pytest.approx(taken[989], rel=0.011)


def test_throughput_counts_the_inputs_of_the_last_minute(clock: Clock) -> None:
    statistics = Statistics(clock)
    clock.now += 600
    for _ in range(6):
        finish(statistics, clock, 5.0, inputs=10)
    assert statistics.recent().throughput == pytest.approx(1.0)


def test_measurements_older_than_a_minute_are_forgotten(clock: Clock) -> None:
    statistics = Statistics(clock)
    finish(statistics, clock, 0.5)
    clock.now += 61
    assert statistics.recent() == Recent(None, None, None, None)
    assert statistics.average == 0.5
