"""When requests are sent, so that TorchServe makes full batches of them."""

import pytest

from sidecar.scheduling.bursts import GATHERING_SECONDS, MOST_AHEAD, Burst, Bursts
from sidecar.scheduling.plan import WAIT, Plan

SIZE = 8


class Clients:
    """Clients and workers on a clock that the test sets; `waiting` are to be sent."""

    def __init__(self, size: int = SIZE, workers: int = 1, delay: float = 0.0) -> None:
        self.bursts = Bursts(size, delay)
        self.workers = workers
        self.now = 100.0
        self.waiting = 0
        self.first_at = 0.0
        self.sent: list[Burst] = []

    def ask(self, count: int = 1) -> None:
        if not self.waiting:
            self.first_at = self.now
        self.waiting += count

    def plan(self) -> Plan:
        plan = self.bursts.plan(
            self.first_at,
            workers=self.workers,
            in_flight=len(self.sent),
            waiting=self.waiting,
            now=self.now,
        )
        self.waiting -= plan.jobs
        self.sent += [self.bursts.join() for _ in range(plan.jobs)]
        return plan

    def answer(self, count: int, seconds: float) -> None:
        self.now += seconds
        for burst in self.sent[:count]:
            self.bursts.leave(burst, self.now)
        del self.sent[:count]


def test_the_first_request_is_sent_at_once() -> None:
    clients = Clients()
    clients.ask()
    assert clients.plan() == Plan(1)


def test_busy_workers_get_only_full_batches_ahead() -> None:
    clients = Clients()
    clients.ask()
    clients.plan()
    clients.ask(SIZE - 1)
    assert clients.plan() == WAIT
    clients.ask()
    assert clients.plan() == Plan(SIZE)
    clients.ask(SIZE)
    assert clients.plan() == WAIT  # one ahead is enough


def test_a_batch_waits_for_clients_that_were_just_answered() -> None:
    clients = Clients()
    clients.ask(5)
    clients.plan()
    clients.ask(2)  # they wait while the others are at work
    clients.plan()
    clients.answer(5, seconds=0.02)
    plan = clients.plan()
    assert plan.jobs == 0
    assert plan.pause == pytest.approx(0.01)  # half of what a batch takes
    clients.now += 0.004
    clients.ask(5)
    assert clients.plan() == Plan(7)


def test_a_batch_waits_only_once_for_a_client_that_is_gone() -> None:
    clients = Clients()
    clients.ask(4)
    clients.plan()
    clients.answer(4, seconds=0.02)
    clients.ask()
    pause = clients.plan().pause
    assert pause is not None
    clients.now += pause
    assert clients.plan() == Plan(1)
    clients.answer(1, seconds=0.02)
    clients.ask()
    assert clients.plan() == Plan(1)


def test_a_batch_does_not_wait_for_clients_busy_elsewhere() -> None:
    clients = Clients(workers=2)
    clients.ask(4)
    clients.plan()
    clients.ask(4)
    assert clients.plan() == Plan(4)


def test_a_worker_that_is_free_gets_what_is_there_while_others_work() -> None:
    clients = Clients(workers=2)
    clients.ask()
    clients.plan()
    clients.ask()
    assert clients.plan() == Plan(1)
    clients.ask()
    assert clients.plan() == WAIT


def test_the_wait_has_a_limit_however_long_batches_take() -> None:
    clients = Clients()
    clients.ask(3)
    clients.plan()
    clients.answer(3, seconds=10.0)
    clients.ask()
    assert clients.plan().pause == pytest.approx(GATHERING_SECONDS)


def run_full_batches(clients: Clients, *seconds: float) -> None:
    """Let a worker run batches, each sent when the one before it has ended."""
    for taken in seconds:
        clients.ask(SIZE)
        assert clients.plan() == Plan(SIZE)
        clients.answer(SIZE, taken)


def test_the_next_batch_is_sent_just_before_the_running_one_is_expected_to_end() -> None:
    clients = Clients()
    run_full_batches(clients, 0.1, 0.1)
    clients.ask(2 * SIZE)
    clients.plan()
    assert clients.plan().pause == pytest.approx(0.08)
    clients.now += 0.08
    assert clients.plan() == Plan(SIZE)
    clients.ask(SIZE)
    assert clients.plan() == WAIT  # until one has ended
    clients.answer(SIZE, seconds=0.02)
    assert clients.plan().pause == pytest.approx(0.08)


def pause_before_the_next(clients: Clients) -> float:
    """Return how long after the beginning of a batch the next one is to be sent."""
    clients.ask(2 * SIZE)
    clients.plan()
    pause = clients.plan().pause
    assert pause is not None
    return pause


def test_where_batches_vary_the_next_one_is_there_when_a_quick_one_ends() -> None:
    clients = Clients()
    run_full_batches(clients, *[0.08, 0.12] * 10)
    assert 0.05 < pause_before_the_next(clients) < 0.08


def test_a_batch_that_was_held_up_changes_little() -> None:
    clients = Clients()
    run_full_batches(clients, *[0.1] * 5, 2.0)
    assert 0.07 < pause_before_the_next(clients) < 0.09


def run_halves(clients: Clients, runs: int, late: float) -> list[Plan]:
    """Let all ask in two halves, *late* seconds apart, in each run; return the plans of the last.

    A client that has asked after the batch was sent joins the next one.
    """
    plans: list[Plan] = []
    for _ in range(runs):
        clients.ask(SIZE // 2)
        plans = [clients.plan()]
        clients.now += late
        clients.ask(SIZE // 2)
        plans.append(clients.plan())
        clients.answer(len(clients.sent), seconds=0.02)
    return plans


def answered_once(delay: float) -> Clients:
    """Return clients that have had one full batch; *delay* is TorchServe's."""
    clients = Clients(delay=delay)
    clients.ask(SIZE)
    clients.plan()
    clients.answer(SIZE, seconds=0.02)
    return clients


def halves(late: float, *, runs: int = 200, delay: float = 0.002) -> list[Plan]:
    return run_halves(answered_once(delay), runs, late)


def test_a_half_is_sent_at_once_where_the_other_one_follows_at_once() -> None:
    assert halves(late=0.0003) == [Plan(SIZE // 2), Plan(SIZE // 2)]


def test_it_takes_some_batches_to_trust_in_that() -> None:
    first, second = halves(late=0.0003, runs=10)
    assert first.jobs == 0
    assert second == Plan(SIZE)


def test_a_half_waits_where_the_other_one_comes_later_than_torchserve_waits() -> None:
    first, second = halves(late=0.002)
    assert first.jobs == 0
    assert second == Plan(SIZE)


def test_a_half_waits_where_torchserve_may_not_wait_at_all() -> None:
    first, second = halves(late=0.0003, delay=0.001)
    assert first.jobs == 0
    assert second == Plan(SIZE)


def half_of_whom_have_asked() -> Clients:
    """Return clients of whom the second half has always followed the first quickly."""
    clients = answered_once(delay=0.002)
    run_halves(clients, runs=200, late=0.0003)
    clients.ask(SIZE // 2)
    return clients


def test_a_half_that_the_other_one_did_not_follow_lets_halves_wait_again() -> None:
    clients = half_of_whom_have_asked()
    assert clients.plan() == Plan(SIZE // 2)
    clients.now += 0.0015
    clients.ask(SIZE // 2)
    assert clients.plan() == WAIT  # too late for the batch that runs
    clients.answer(SIZE // 2, seconds=0.02)
    clients.ask(SIZE // 2)
    assert clients.plan() == Plan(SIZE)
    clients.answer(SIZE, seconds=0.02)
    first, second = run_halves(clients, runs=1, late=0.0003)
    assert first.jobs == 0
    assert second == Plan(SIZE)


def test_more_than_a_burst_lacks_wait_for_the_next_one() -> None:
    clients = half_of_whom_have_asked()
    clients.plan()
    clients.ask(SIZE // 2 + 1)
    assert clients.plan() == Plan(SIZE // 2)
    assert clients.plan() == WAIT


def test_each_of_several_workers_gets_its_next_batch() -> None:
    clients = Clients(workers=2)
    run_full_batches(clients, 0.1)
    clients.ask(4 * SIZE)
    assert clients.plan() == Plan(SIZE)
    clients.now += 0.05
    assert clients.plan() == Plan(SIZE)
    clients.now += 0.03
    assert clients.plan() == Plan(SIZE)  # after the first
    assert clients.plan().pause == pytest.approx(0.05)  # after the second


def test_batches_that_take_no_time_are_sent_further_ahead() -> None:
    clients = Clients()
    clients.ask(SIZE)
    clients.plan()
    clients.answer(SIZE, seconds=0.001)
    clients.ask(20 * SIZE)
    plans = [clients.plan() for _ in range(MOST_AHEAD + 2)]
    assert plans == [Plan(SIZE)] * (MOST_AHEAD + 1) + [WAIT]


def test_without_batches_one_request_is_sent_ahead() -> None:
    clients = Clients(size=1)
    clients.ask(3)
    assert [clients.plan() for _ in range(3)] == [Plan(1), Plan(1), WAIT]
