"""Pauses that grow, and waits that tell of a standstill."""

import pytest

from sidecar.timing import Backoff, Retry, was_late


def test_each_failure_doubles_the_pause_and_a_success_resets_it() -> None:
    backoff = Backoff(0.5, 3.0)
    assert [backoff.record_failure() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    backoff.record_success()
    assert backoff.record_failure() == 0.5


def test_a_retry_is_due_after_its_pause_or_when_somebody_ends_it() -> None:
    retry = Retry(5.0, 300.0)
    assert retry.due(0.0)
    assert retry.record_failure(10.0) == 5.0
    assert [retry.due(now) for now in (14.9, 15.0)] == [False, True]
    assert retry.record_failure(15.0) == 10.0
    retry.end_pause()
    assert retry.due(15.0)
    retry.postpone(15.0, 2.0)
    assert [retry.due(now) for now in (16.9, 17.0)] == [False, True]
    retry.record_success()
    assert retry.record_failure(20.0) == 5.0


@pytest.mark.parametrize(
    ("meant", "took", "late"),
    [(2.0, 2.0, False), (2.0, 6.9, False), (2.0, 7.1, True), (0.02, 33.0, True)],
)
def test_much_longer_than_meant_is_late(meant: float, took: float, late: bool) -> None:
    assert was_late(meant, took) is late
