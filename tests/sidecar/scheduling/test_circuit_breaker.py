"""When nothing is asked any more, and when again."""

from sidecar.scheduling.circuit_breaker import FAILURES, LAST_PAUSE_SECONDS, CircuitBreaker


def open_breaker(now: float) -> CircuitBreaker:
    breaker = CircuitBreaker()
    assert [breaker.record_failure(now) for _ in range(FAILURES)] == [False] * (FAILURES - 1) + [
        True
    ]
    return breaker


def test_failures_in_a_row_open_it() -> None:
    breaker = open_breaker(10.0)
    assert breaker.state(10.0) == "open"
    assert breaker.seconds_left(10.25) == 0.75


def test_a_success_between_them_keeps_it_closed() -> None:
    breaker = CircuitBreaker()
    for _ in range(3 * FAILURES):
        breaker.record_failure(0.0)
        breaker.record_success()
    assert breaker.state(0.0) == "closed"


def test_after_its_pause_one_job_is_the_probe_and_closes_it() -> None:
    breaker = open_breaker(10.0)
    assert breaker.state(11.0) == "half_open"
    breaker.record_success()
    assert breaker.state(11.0) == "closed"
    assert not breaker.record_failure(11.0)


def test_each_probe_that_fails_doubles_the_pause_up_to_a_limit() -> None:
    breaker, now, pauses = open_breaker(0.0), 0.0, []
    for _ in range(8):
        pauses.append(breaker.seconds_left(now))
        now += pauses[-1]
        assert breaker.record_failure(now)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    assert max(pauses) == LAST_PAUSE_SECONDS


def test_jobs_that_were_sent_before_it_opened_change_nothing() -> None:
    breaker = open_breaker(10.0)
    assert not breaker.record_failure(10.5)
    assert breaker.seconds_left(10.5) == 0.5
