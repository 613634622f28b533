"""When requests are sent, so that TorchServe makes full batches of them."""

import pytest

from sidecar.scheduling.bursts import GATHERING_SECONDS, MOST_AHEAD, WAIT, Burst, Bursts, Plan

SIZE = 8


class Clients:
    """Clients and workers on a clock that the test sets; `waiting` are to be sent."""

    def __init__(self, size: int = SIZE, workers: int = 1) -> None:
        self.bursts = Bursts(size)
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


def test_where_batches_vary_the_next_one_is_sent_earlier() -> None:
    clients = Clients()
    run_full_batches(clients, *[0.08, 0.12] * 10)
    clients.ask(2 * SIZE)
    clients.plan()
    pause = clients.plan().pause
    assert pause is not None
    assert 0.02 < pause < 0.06


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
