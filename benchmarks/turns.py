"""Candidates that do the same work take turns, and what is told of them.

In every round each candidate works once, A B A B, so that a slow minute of the machine hits all
alike.  The others' processes stand still meanwhile.  The first round warms up and is not counted.
A ratio is the median of the rounds' ratios; there is none where an answer failed or was wrong.
"""

import asyncio
import contextlib
import itertools
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, TypeVar

import aiohttp

from benchmarks.process_tree import ProcessTree
from benchmarks.progress import tell

OURS = "ours"
SETTLE_SECONDS = 0.2  # in which a candidate does what its timers asked for while it stood still


Started = TypeVar("Started")


class NoAnswer(Exception):
    """A server answered with an error, or a peer's program has ended."""


class Answers(NamedTuple):
    """What one turn gave: how many answers, in what time, and each one's own time.

    *failed* counts those that did not come, and *wrong* says what was not right with one.
    """

    answered: int
    seconds: float
    p50_ms: float
    p99_ms: float
    failed: int = 0
    wrong: str | None = None


class Turn(NamedTuple):
    """One candidate's turn: what it gave and what it took."""

    answers: Answers
    cpu_seconds: float
    peak_mib: float

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return self.answers.answered / self.answers.seconds

    @property
    def cpu_per_thousand(self) -> float:
        """Seconds of processor time for 1,000 answers."""
        return self.cpu_seconds / max(self.answers.answered, 1) * 1000


class Candidate(NamedTuple):
    """Somebody who does the work.  *processes* are all of theirs.

    *check* says after a turn, when nobody stands still, what was wrong with its answers.
    """

    name: str
    work: Callable[[], Awaitable[Answers]]
    processes: ProcessTree
    check: Callable[[], Awaitable[str | None]] | None = None


class Outcome(NamedTuple):
    """A candidate's counted turns, and what forbids to compare them, in words."""

    name: str
    turns: Sequence[Turn]
    refusal: str | None

    def median(self, figure: Callable[[Turn], float]) -> float:
        """Return the median of *figure* over the turns."""
        return statistics.median(figure(turn) for turn in self.turns)


class Entrants:
    """Starts the candidates of a part; one that does not start is refused, the others compete."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self.absent: list[Outcome] = []

    def enter(
        self, name: str, start: Callable[[], AbstractContextManager[Started]]
    ) -> Started | None:
        """Return what the context manager made by *start* gives, or None where it fails."""
        tell(f"    starting {name}")
        try:
            return self._stack.enter_context(start())
        except Exception as exc:  # noqa: BLE001
            tell(f"    {name} did not start: {type(exc).__name__}: {exc}")
            self.absent.append(Outcome(name, (), f"did not start ({type(exc).__name__})"))
            return None


async def take_turns(candidates: Sequence[Candidate], rounds: int, work: str = "") -> list[Outcome]:
    """Let all do the *work*, as it is called, *rounds* times after a first round that warms up.

    An answer that fails or is wrong counts against its candidate in the first round, too.
    """
    turns: dict[str, list[Turn]] = {each.name: [] for each in candidates}
    refusals: dict[str, str] = {}
    for number in range(rounds + 1):
        tell(f"    {work}: " + (f"round {number} of {rounds}" if number else "warm-up"))
        for candidate in candidates:
            others = [
                each.processes for each in candidates if each.processes is not candidate.processes
            ]
            turn = await _turn(candidate, others)
            refusal = _refusal(turn.answers)
            if refusal is not None and candidate.name not in refusals:
                tell(f"    {candidate.name}: {refusal}")
                refusals[candidate.name] = refusal
            if number:
                turns[candidate.name].append(turn)
    return [Outcome(name, taken, refusals.get(name)) for name, taken in turns.items()]


async def _turn(candidate: Candidate, others: Iterable[ProcessTree]) -> Turn:
    with contextlib.ExitStack() as stack:
        for each in others:
            stack.enter_context(each.standing_still())
        await asyncio.sleep(SETTLE_SECONDS)
        candidate.processes.forget_peak()
        before = candidate.processes.cpu_seconds()
        try:
            answers = await candidate.work()
        except NoAnswer as exc:
            tell(f"    {candidate.name}: {exc}")
            return Turn(Answers(0, 1.0, 0.0, 0.0, failed=1), 0.0, 0.0)
        spent = candidate.processes.cpu_seconds() - before
        turn = Turn(answers, spent, candidate.processes.peak_mib())
    if candidate.check is None:
        return turn
    return turn._replace(answers=answers._replace(wrong=await candidate.check()))


def _refusal(answers: Answers) -> str | None:
    if answers.failed:
        return f"{answers.failed} of {answers.answered + answers.failed} answers failed"
    if not answers.answered:
        return "no answers"
    return answers.wrong


def ratio(
    one: Outcome, other: Outcome, figure: Callable[[Turn], float] = lambda turn: turn.per_second
) -> float | str:
    """Return *one*'s *figure* by *other*'s, the median over the rounds, or why there is none."""
    for each in (one, other):
        if each.refusal is not None:
            return f"refused: {each.name}: {each.refusal}"
    pairs = zip(one.turns, other.turns, strict=True)
    return statistics.median(figure(mine) / figure(theirs) for mine, theirs in pairs)


def best(outcomes: Iterable[Outcome]) -> Outcome:
    """Return the quickest one whose answers were right.  Raises ValueError where none was."""
    return max(
        (each for each in outcomes if each.refusal is None),
        key=lambda each: each.median(lambda turn: turn.per_second),
    )


async def timed(
    ask: Callable[[int], Awaitable[str | None]], count: int, connections: int
) -> Answers:
    """Return how *count* questions fared, *connections* of them at a time.

    *ask* gets the question's number, and returns what is wrong with the answer, or None.  Where it
    raises an error of the network or `NoAnswer`, the answer failed.
    """
    return await _asked(ask, iter(range(count)), min(connections, count))


async def lasting(
    ask: Callable[[int], Awaitable[str | None]], seconds: float, connections: int
) -> Answers:
    """Return how questions fared that were begun within *seconds*, as `timed` asks them."""
    until = time.perf_counter() + seconds
    numbers = itertools.takewhile(lambda _: time.perf_counter() < until, itertools.count())
    return await _asked(ask, numbers, connections)


async def _asked(
    ask: Callable[[int], Awaitable[str | None]], numbers: Iterator[int], connections: int
) -> Answers:
    seconds: list[float] = []
    wrongs: list[str] = []
    asked = 0

    async def client() -> None:
        nonlocal asked
        for number in numbers:
            asked += 1
            began = time.perf_counter()
            with contextlib.suppress(OSError, aiohttp.ClientError, NoAnswer):
                wrong = await ask(number)
                seconds.append(time.perf_counter() - began)
                if wrong is not None:
                    wrongs.append(wrong)

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(connections)))
    return answers_of(seconds, time.perf_counter() - began, asked, wrongs)


def answers_of(
    seconds: Sequence[float], total: float, asked: int, wrongs: Sequence[str] = ()
) -> Answers:
    """Return what *asked* questions gave, of which those with *seconds* were answered."""
    p50, p99 = percentiles(seconds)
    wrong = wrongs[0] if wrongs else None
    return Answers(len(seconds), total, p50 * 1000, p99 * 1000, asked - len(seconds), wrong)


def percentiles(values: Sequence[float]) -> tuple[float, float]:
    """Return the median and the 99th percentile; of nothing, zeros."""
    if not values:
        return 0.0, 0.0
    ordered = sorted(values)
    return statistics.median(ordered), ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
