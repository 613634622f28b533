"""Candidates take turns, and nothing is told of one whose answers were wrong."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from functools import partial

import psutil
import pytest

from benchmarks.process_tree import ProcessTree
from benchmarks.report import comparison, real_time_panel
from benchmarks.turns import (
    OURS,
    Answers,
    Candidate,
    Entrants,
    NoAnswer,
    Outcome,
    Turn,
    best,
    lasting,
    ratio,
    take_turns,
    timed,
)
from tests.waiting import until

RIGHT = Answers(10, 1.0, 5.0, 9.0)


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two servers that do nothing."""
    running = [subprocess.Popen(["sleep", "60"]) for _ in range(2)]
    yield running
    for each in running:
        each.kill()
        each.wait()


def candidate(
    name: str, process: subprocess.Popen[bytes], log: list[str], answers: list[Answers]
) -> Candidate:
    """One who writes its name into *log*, and gives *answers* in their order."""
    turns = iter(answers)

    async def work() -> Answers:
        log.append(name)
        return next(turns)

    return Candidate(name, work, ProcessTree(process.pid))


def outcome(name: str, rates: list[float], refusal: str | None = None) -> Outcome:
    turns = [Turn(Answers(round(rate), 1.0, 1.0, 2.0), rate / 100, 50.0) for rate in rates]
    return Outcome(name, turns, refusal)


async def test_candidates_take_turns_in_every_round(
    processes: list[subprocess.Popen[bytes]],
) -> None:
    log: list[str] = []
    one, two = (
        candidate(name, process, log, [RIGHT] * 3)
        for name, process in zip("AB", processes, strict=True)
    )
    outcomes = await take_turns([one, two], rounds=2)
    assert log == ["A", "B", "A", "B", "A", "B"]
    assert [len(each.turns) for each in outcomes] == [2, 2]


async def test_the_first_round_does_not_count(processes: list[subprocess.Popen[bytes]]) -> None:
    slow = RIGHT._replace(seconds=100.0)
    one = candidate("A", processes[0], [], [slow, RIGHT])
    (found,) = await take_turns([one], rounds=1)
    assert found.turns[0].per_second == 10


async def test_other_servers_are_paused_during_a_turn(
    processes: list[subprocess.Popen[bytes]],
) -> None:
    seen = []

    def statuses() -> list[str]:
        return [psutil.Process(each.pid).status() for each in processes]

    async def work() -> Answers:
        await until(lambda: psutil.STATUS_STOPPED in statuses())  # a signal takes a moment
        seen.append(statuses())
        return RIGHT

    trees = [ProcessTree(each.pid) for each in processes]
    await take_turns([Candidate("A", work, trees[0]), Candidate("B", work, trees[1])], rounds=0)
    stopped = psutil.STATUS_STOPPED
    assert [[status == stopped for status in each] for each in seen] == [
        [False, True],
        [True, False],
    ]
    assert stopped not in [psutil.Process(each.pid).status() for each in processes]


async def test_a_check_runs_when_nobody_stands_still_and_refuses(
    processes: list[subprocess.Popen[bytes]],
) -> None:
    async def check() -> str | None:
        states = [psutil.Process(each.pid).status() for each in processes]
        return "other words" if psutil.STATUS_STOPPED not in states else None

    one, two = (
        candidate(name, process, [], [RIGHT])._replace(check=check)
        for name, process in zip("AB", processes, strict=True)
    )
    outcomes = await take_turns([one, two], rounds=0)
    assert [each.refusal for each in outcomes] == ["other words", "other words"]


@pytest.mark.parametrize("round_number", [0, 1])
@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (RIGHT._replace(wrong="a cosine of 0.5"), "a cosine of 0.5"),
        (RIGHT._replace(failed=2), "2 of 12 answers failed"),
        (Answers(0, 1.0, 0.0, 0.0), "no answers"),
    ],
)
async def test_a_wrong_or_failed_answer_refuses_the_ratio(
    processes: list[subprocess.Popen[bytes]], round_number: int, bad: Answers, reason: str
) -> None:
    answers = [RIGHT, RIGHT]
    answers[round_number] = bad
    ours = candidate(OURS, processes[0], [], [RIGHT, RIGHT])
    peer = candidate("peer", processes[1], [], answers)
    outcomes = await take_turns([ours, peer], rounds=1)
    assert ratio(outcomes[0], outcomes[1]) == f"refused: peer: {reason}"
    row = comparison(outcomes).splitlines()[-1]
    assert row == f"| peer |  |  |  |  |  | refused: {reason} |"


async def test_a_candidate_whose_program_ends_is_refused_and_leaves_the_others_their_turn(
    processes: list[subprocess.Popen[bytes]],
) -> None:
    async def ended() -> Answers:
        raise NoAnswer("has ended")

    ours = candidate(OURS, processes[0], [], [RIGHT, RIGHT])
    peer = Candidate("peer", ended, ProcessTree(processes[1].pid))
    outcomes = await take_turns([ours, peer], rounds=1)
    assert [each.refusal for each in outcomes] == [None, "1 of 1 answers failed"]


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    ours, peer = outcome(OURS, [10, 40, 30]), outcome("peer", [10, 10, 60])
    assert ratio(ours, peer) == 1.0
    assert ratio(ours, peer, lambda turn: turn.cpu_seconds) == 1.0


def test_our_own_wrong_answers_refuse_every_ratio() -> None:
    ours, peer = outcome(OURS, [10], "no answers"), outcome("peer", [10])
    assert ratio(ours, peer) == "refused: ours: no answers"


def test_the_best_is_the_quickest_whose_answers_were_right() -> None:
    outcomes = [outcome("a", [5]), outcome("b", [9], "wrong"), outcome("c", [7])]
    assert best(outcomes).name == "c"


def test_a_comparison_has_every_figure() -> None:
    lines = comparison([outcome(OURS, [2000, 3000]), outcome("peer", [1000, 1000])]).splitlines()
    assert lines[0] == (
        "|  | answers/s | p50 ms | p99 ms | CPU s per 1,000 | peak MiB | ours / it |"
    )
    assert lines[2] == "| ours | 2,500 | 1.00 | 2.00 | 10.0 | 50.0 |  |"
    assert lines[3] == "| peer | 1,000 | 1.00 | 2.00 | 10.0 | 50.0 | 2.50 |"


def test_real_time_factors_are_those_of_the_sound_in_a_turn() -> None:
    outcomes = [outcome(OURS, [10]), outcome("peer", [10]), outcome("absent", [], "no answers")]
    sound = {OURS: 4.0, "peer": 20.0}
    lines = comparison(outcomes, sound).splitlines()
    assert lines[2].split(" | ")[-2] == "0.2500"
    assert lines[3].split(" | ")[-2] == "0.0500"
    assert lines[4] == "| absent |  |  |  |  |  |  | refused: no answers |"
    panel = real_time_panel({"a clip": (outcomes, sound)})
    assert panel.lines == {OURS: [("a clip", 0.25)], "peer": [("a clip", 0.05)]}


def test_a_candidate_that_does_not_start_is_refused_and_leaves_the_others_their_turn() -> None:
    @contextlib.contextmanager
    def starting(name: str) -> Iterator[str]:
        if name == "broken":
            raise FileNotFoundError(name)
        yield name

    with contextlib.ExitStack() as stack:
        entrants = Entrants(stack)
        started = [entrants.enter(name, partial(starting, name)) for name in ("broken", "sound")]
    assert started == [None, "sound"]
    assert entrants.absent == [Outcome("broken", (), "did not start (FileNotFoundError)")]
    row = comparison([outcome(OURS, [10]), *entrants.absent]).splitlines()[-1]
    assert row == "| broken |  |  |  |  |  | refused: did not start (FileNotFoundError) |"


async def test_a_load_that_lasts_ends_with_the_questions_that_were_begun_in_its_time() -> None:
    asked: list[int] = []

    async def ask(number: int) -> str | None:
        asked.append(number)
        if number < 3:
            raise NoAnswer(503)
        await asyncio.sleep(0.01)
        return None

    answers = await lasting(ask, 0.1, 4)
    assert asked == list(range(len(asked)))
    assert (answers.answered, answers.failed) == (len(asked) - 3, 3)
    assert answers.seconds >= 0.1


async def test_questions_are_asked_by_so_many_clients_at_a_time() -> None:
    running: set[int] = set()
    most = 0

    async def ask(number: int) -> str | None:
        nonlocal most
        running.add(number)
        most = max(most, len(running))
        await asyncio.sleep(0)
        running.discard(number)
        return None

    answers = await timed(ask, 10, 3)
    assert (answers.answered, answers.failed, answers.wrong, most) == (10, 0, None, 3)


async def test_an_answer_that_does_not_come_failed_and_a_wrong_one_is_told() -> None:
    async def ask(number: int) -> str | None:
        if number == 1:
            raise NoAnswer(503)
        if number == 2:
            raise ConnectionResetError
        return "a wrong one" if number == 3 else None

    answers = await timed(ask, 5, 2)
    assert (answers.answered, answers.failed, answers.wrong) == (3, 2, "a wrong one")


async def test_an_error_of_the_bench_itself_is_no_failed_answer() -> None:
    async def ask(_: int) -> str | None:
        raise KeyError("result")

    with pytest.raises(KeyError):
        await timed(ask, 1, 1)


def test_the_processor_time_of_a_process_tree_includes_ended_children() -> None:
    burn = "import time\nuntil = time.process_time() + 0.2\nwhile time.process_time() < until: pass"
    script = (
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\n"
        "print(flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        tree = ProcessTree(process.pid)
        assert tree.cpu_seconds() >= 0.2
        assert tree.peak_mib() > 1
        tree.end()
    assert tree.cpu_seconds() == 0
