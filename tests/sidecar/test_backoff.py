"""Pauses that grow."""

from sidecar.backoff import Backoff


def test_each_failure_doubles_the_pause_up_to_the_longest_and_a_success_forgets_them() -> None:
    backoff = Backoff(0.5, 3.0)
    assert [backoff.failed() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    backoff.succeeded()
    assert backoff.failed() == 0.5
