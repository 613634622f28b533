"""How large a job with urgent inputs may be."""

import pytest

from sidecar.scheduling.urgency import UrgentJobs


@pytest.mark.parametrize(("most", "few"), [(1, 1), (3, 1), (32, 8), (64, 16)])
def test_it_holds_a_quarter_of_the_largest_at_first(most: int, few: int) -> None:
    assert UrgentJobs(most).most_entries == few


def test_it_stays_small_where_a_small_job_is_sooner_done() -> None:
    jobs = UrgentJobs(32)
    jobs.learn(32, 0.2)
    jobs.learn(8, 0.05)
    assert jobs.most_entries == 8


def test_it_is_as_large_as_any_where_all_take_as_long() -> None:
    jobs = UrgentJobs(32)
    jobs.learn(8, 0.1)
    jobs.learn(24, 0.11)
    assert jobs.most_entries == 32


def test_what_jobs_take_now_counts_more_than_what_they_took() -> None:
    jobs = UrgentJobs(32)
    jobs.learn(8, 0.1)
    jobs.learn(32, 0.11)
    for _ in range(30):
        jobs.learn(1, 0.01)
    assert jobs.most_entries == 8


def test_jobs_between_small_and_large_tell_nothing() -> None:
    jobs = UrgentJobs(32)
    jobs.learn(32, 0.1)
    jobs.learn(12, 0.1)
    assert jobs.most_entries == 8
