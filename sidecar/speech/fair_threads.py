"""A few threads that serve clients in turn: many files of one client do not delay the others."""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Any, NamedTuple, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
InThread = Callable[..., Awaitable[Any]]  # runs what it is given in one client's turns


class Turn(NamedTuple):
    """What one client wants done next, and its outcome, which can be cancelled until it begins."""

    work: Callable[[], Any]
    outcome: Future[Any]

    def take(self) -> None:
        """Do the work, in this thread."""
        try:
            self.outcome.set_result(self.work())
        except BaseException as exc:  # noqa: BLE001 - it is raised where the outcome is awaited
            self.outcome.set_exception(exc)


class FairThreads:
    """Each client has a queue of its own, and the clients' queues are served round-robin.

    One client has at most all threads but one: a newcomer waits for nobody's turn to end, unless
    several others are at work.  Turns should be short; nothing interrupts one that has begun.  A
    thread that has ended a turn takes the next one itself: it waits for no other thread to wake up.
    """

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="audio")
        self._most_of_one = max(1, threads - 1)
        self._lock = Lock()  # of all below
        self._waiting: dict[str, deque[Turn]] = {}  # the client whose turn it is comes first
        self._waiting_first: deque[Turn] = deque()
        self._running: Counter[str | None] = Counter()  # None: those that come first

    async def run(
        self,
        client: str,
        work: Callable[Arguments, Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """Run *work* in a thread when it is *client*'s turn, and return what it returns.

        Whoever is cancelled while they wait gives up the turn.  Whoever is cancelled later gets
        away when *work* has ended: they may close what it uses, and a codec of FFmpeg that is
        closed while it works takes the whole process with it.
        """
        outcome: Future[Result] = Future()
        turn = Turn(partial(work, *args, **kwargs), outcome)
        with self._lock:
            self._waiting.setdefault(client, deque()).append(turn)
        return await self._result_of(outcome)

    async def run_first(
        self,
        work: Callable[Arguments, Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """Run *work* before all turns that have not begun; the rest is as with `run`.

        For a few milliseconds of work that somebody waits for to hear anything at all.
        """
        outcome: Future[Result] = Future()
        turn = Turn(partial(work, *args, **kwargs), outcome)
        with self._lock:
            self._waiting_first.append(turn)
        return await self._result_of(outcome)

    def close(self) -> None:
        """End the threads once their present work is done; waiting work never begins."""
        with self._lock:
            waiting = [
                *self._waiting_first,
                *(each for one in self._waiting.values() for each in one),
            ]
            self._waiting_first.clear()
            self._waiting.clear()
        for turn in waiting:
            turn.outcome.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _result_of(self, outcome: Future[Result]) -> Result:
        """Return what a turn that waits now comes to."""
        self._pool.submit(self._take_turns)
        ended = asyncio.wrap_future(outcome)
        try:
            return await asyncio.shield(ended)
        except asyncio.CancelledError:
            if not outcome.cancel():
                while not ended.done():  # however often this is cancelled
                    with suppress(asyncio.CancelledError):
                        await asyncio.wait([ended])
            raise

    def _take_turns(self) -> None:
        """Take one turn after another, until there is none that may begin."""
        while (next_one := self._next()) is not None:
            client, turn = next_one
            turn.take()
            with self._lock:
                self._running[client] -= 1
                if not self._running[client]:
                    del self._running[client]

    def _next(self) -> tuple[str | None, Turn] | None:
        """Return the turn that begins now, and put the client whose it is behind all others."""
        with self._lock:
            if (turn := _first_wanted(self._waiting_first)) is not None:
                self._running[None] += 1
                return None, turn
            for client in list(self._waiting):
                if self._running[client] < self._most_of_one:
                    turns = self._waiting.pop(client)
                    turn = _first_wanted(turns)
                    if turns:
                        self._waiting[client] = turns
                    if turn is not None:
                        self._running[client] += 1
                        return client, turn
        return None


def _first_wanted(turns: deque[Turn]) -> Turn | None:
    """Take the first of *turns* that nobody has given up, and begin it."""
    while turns:
        turn = turns.popleft()
        if turn.outcome.set_running_or_notify_cancel():
            return turn
    return None
