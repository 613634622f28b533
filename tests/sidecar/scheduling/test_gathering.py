"""When short jobs are sent, so that they are few and full."""

import pytest

from sidecar.scheduling.gathering import (
    AT_ONCE,
    ENOUGH,
    GATHERING_SECONDS,
    LEAST,
    Gathering,
)
from sidecar.scheduling.plan import WAIT, Plan

MOST = 4 * ENOUGH
SLOTS = 2  # of one worker


class Clients:
    """Clients of a model with one worker, on a clock that the test sets."""

    def __init__(self, most: int = MOST) -> None:
        self.gathering = Gathering(most)
        self.now = 100.0
        self.waiting = 0
        self.jobs: list[int] = []  # in flight, each with so many inputs

    def ask(self, count: int = 1) -> Plan:
        """Let *count* more ask, and return what is planned; what it says is sent."""
        self.waiting += count
        share = self.gathering.share(self.waiting + sum(self.jobs), SLOTS)
        plan = self.gathering.plan(
            self.waiting, share, jobs=len(self.jobs), workers=1, now=self.now
        )
        if plan.jobs:
            self.jobs.append(min(self.waiting, share))
            self.waiting -= self.jobs[-1]
        return plan

    def answer(self) -> None:
        """End the oldest job."""
        size = self.jobs.pop(0)
        self.gathering.end(size, sum(self.jobs), self.now)


def test_the_first_input_is_sent_at_once() -> None:
    assert Clients().ask() == AT_ONCE


def test_one_client_never_waits() -> None:
    clients = Clients()
    for _ in range(3):
        assert clients.ask() == AT_ONCE
        clients.answer()


def test_a_job_waits_for_those_that_were_just_answered() -> None:
    clients = Clients()
    clients.ask(LEAST)
    clients.answer()
    assert clients.ask(LEAST - 1).pause == pytest.approx(GATHERING_SECONDS)
    assert clients.ask() == AT_ONCE


def test_a_job_waits_only_for_a_moment_and_only_once_for_clients_that_are_gone() -> None:
    clients = Clients()
    clients.ask(LEAST)
    clients.answer()
    assert clients.ask(2) != AT_ONCE
    clients.now += GATHERING_SECONDS
    assert clients.ask(0) == AT_ONCE
    clients.answer()
    assert clients.ask() != AT_ONCE
    assert clients.ask() == AT_ONCE


def test_a_job_waits_also_for_those_who_join() -> None:
    """They waited while the others' job ran, and would be left out again and again."""
    clients = Clients()
    clients.ask(4)
    assert clients.ask(2) == WAIT
    clients.answer()
    assert clients.ask(3).pause == pytest.approx(GATHERING_SECONDS)
    assert clients.ask() == AT_ONCE
    assert clients.jobs == [6]


def test_a_crowd_has_a_job_in_each_slot() -> None:
    clients = Clients()
    clients.ask(2 * LEAST)
    assert clients.jobs == [LEAST]
    assert clients.ask(0) == AT_ONCE
    assert clients.jobs == [LEAST, LEAST]
    clients.answer()
    assert clients.ask(LEAST - 1) == WAIT
    assert clients.ask() == AT_ONCE
    assert clients.jobs == [LEAST, LEAST]


def test_a_small_crowd_shares_one_job() -> None:
    clients = Clients()
    clients.ask(2 * LEAST - 1)
    assert clients.jobs == [2 * LEAST - 1]


def test_a_large_crowd_is_not_waited_for() -> None:
    clients = Clients()
    clients.ask(MOST)
    clients.ask(0)
    clients.answer()
    clients.answer()
    assert clients.ask(ENOUGH - 1) != AT_ONCE
    assert clients.ask() == AT_ONCE


def test_no_job_is_larger_than_the_model_allows() -> None:
    clients = Clients(most=4)
    clients.ask(100)
    assert clients.jobs == [4]
    single = Clients(most=1)
    single.ask()
    assert single.ask() == AT_ONCE


def test_a_worker_without_a_job_gets_one_at_once_while_others_work() -> None:
    gathering = Gathering(MOST)
    share = gathering.share(LEAST, 4)
    assert gathering.plan(1, share, jobs=1, workers=2, now=0.0) == AT_ONCE
    assert gathering.plan(1, share, jobs=2, workers=2, now=0.0) == WAIT
