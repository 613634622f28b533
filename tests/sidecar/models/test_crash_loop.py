"""Workers that die again and again."""

from sidecar.models.crash_loop import MANY_DEATHS, WINDOW_SECONDS, CrashLoop


def test_another_process_is_a_death_and_many_are_a_crash_loop() -> None:
    loop = CrashLoop()
    for number in range(MANY_DEATHS + 1):
        assert loop.trouble(float(number)) is None
        loop.observe([1000 + number], float(number))
    assert loop.deaths(4.0) == MANY_DEATHS
    assert loop.trouble(4.0) == "its workers died 3 times in the last 2 minutes"


def test_a_new_or_remaining_worker_is_not_a_death() -> None:
    loop = CrashLoop()
    loop.observe([], 0.0)
    loop.observe([1], 1.0)
    loop.observe([1, 2], 2.0)
    assert loop.deaths(3.0) == 0


def test_deaths_are_forgotten_after_the_window() -> None:
    loop = CrashLoop()
    loop.observe([1, 2, 3], 0.0)
    loop.observe([], 1.0)
    assert loop.trouble(1.0)
    assert loop.trouble(1.0 + WINDOW_SECONDS) is None


def test_a_worker_stopped_on_purpose_is_not_a_death() -> None:
    loop = CrashLoop()
    loop.observe([1, 2, 3], 0.0)
    loop.forget()
    loop.observe([4], 1.0)
    assert loop.deaths(1.0) == 0
