"""When short jobs are sent, so that they are few and full."""

from sidecar.scheduling.bursts import WAIT, Plan
from sidecar.scheduling.gathering import AT_ONCE, ENOUGH, GATHERING_SECONDS, Gathering

MOST = 4 * ENOUGH
NOW = 100.0
LATER = NOW + GATHERING_SECONDS


def plan(gathering: Gathering, waiting: int, jobs: int = 0, now: float = NOW) -> Plan:
    return gathering.plan(waiting, jobs=jobs, workers=1, now=now)


def after_a_job(size: int) -> Gathering:
    gathering = Gathering(MOST)
    gathering.begin(size)
    gathering.end(size, NOW)
    return gathering


def test_the_first_input_is_sent_at_once() -> None:
    assert plan(Gathering(MOST), 1) == AT_ONCE


def test_one_client_never_waits() -> None:
    assert plan(after_a_job(1), 1) == AT_ONCE


def test_a_job_waits_for_those_that_were_just_answered() -> None:
    gathering = after_a_job(8)
    assert plan(gathering, 7) == Plan(0, LATER - NOW)
    assert plan(gathering, 8) == AT_ONCE


def test_a_job_waits_only_for_a_moment() -> None:
    assert plan(after_a_job(8), 1, now=LATER) == AT_ONCE


def test_a_job_waits_also_for_those_who_join() -> None:
    """They waited while the others' job ran, and would be left out again and again."""
    gathering = Gathering(MOST)
    gathering.begin(8)
    assert plan(gathering, 2, jobs=1) == WAIT
    gathering.end(8, NOW)
    assert plan(gathering, 9) == Plan(0, LATER - NOW)
    assert plan(gathering, 10) == AT_ONCE


def test_behind_a_job_that_runs_another_is_sent_once_it_is_as_large() -> None:
    gathering = Gathering(MOST)
    gathering.begin(8)
    assert plan(gathering, 7, jobs=1) == WAIT
    assert plan(gathering, 8, jobs=1) == AT_ONCE


def test_a_large_job_is_not_waited_for() -> None:
    gathering = after_a_job(MOST)
    assert plan(gathering, ENOUGH - 1) != AT_ONCE
    assert plan(gathering, ENOUGH) == AT_ONCE


def test_a_worker_without_a_job_gets_one_at_once_while_others_work() -> None:
    gathering = after_a_job(8)
    assert gathering.plan(1, jobs=1, workers=2, now=NOW) == AT_ONCE
    assert gathering.plan(1, jobs=2, workers=2, now=NOW) == WAIT


def test_a_model_that_takes_inputs_one_by_one_never_waits() -> None:
    gathering = Gathering(1)
    gathering.begin(1)
    assert plan(gathering, 1, jobs=1) == AT_ONCE


def test_a_small_crowd_shares_one_job_and_a_large_one_has_one_in_each_slot() -> None:
    gathering = Gathering(MOST)
    assert gathering.size(ENOUGH, slots=2) == ENOUGH
    assert gathering.size(2 * ENOUGH + 10, slots=2) == ENOUGH + 5
    assert gathering.size(100 * ENOUGH, slots=2) == MOST
    assert Gathering(4).size(ENOUGH, slots=2) == 4
