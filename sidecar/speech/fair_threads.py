"""A few threads that serve clients in turn: many files of one client do not delay the others."""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
InThread = Callable[..., Awaitable[Any]]  # runs what it is given in one client's turns


@dataclass(slots=True)
class Turn:
    """What one client wants done next, and who waits for it.  *done*: not there until it begins."""

    work: Callable[[], Any]
    outcome: asyncio.Future[Any]
    done: asyncio.Future[Any] | None = None

    async def let_go(self) -> None:
        """Wait until nothing of it is under way any more, however often this is cancelled."""
        while self.done is not None and not self.done.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([self.done])


class FairThreads:
    """Each client has a queue of its own, and the clients' queues are served round-robin.

    One client has at most all threads but one: a newcomer waits for nobody's turn to end, unless
    several others are at work.  Turns should be short; nothing interrupts one that has begun.
    """

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="audio")
        self._threads = threads
        self._most_of_one = max(1, threads - 1)
        self._waiting: dict[str, deque[Turn]] = {}  # the client whose turn it is comes first
        self._running: Counter[str] = Counter()

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
        outcome: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        turn = Turn(lambda: work(*args, **kwargs), outcome)
        self._waiting.setdefault(client, deque()).append(turn)
        self._start_turns()
        try:
            return await outcome
        except asyncio.CancelledError:
            await turn.let_go()
            raise

    def close(self) -> None:
        """End the threads once their present work is done; waiting work never begins."""
        for turns in self._waiting.values():
            for turn in turns:
                turn.outcome.cancel()
        self._waiting.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start_turns(self) -> None:
        for client in list(self._waiting):
            if self._running.total() >= self._threads:
                return
            if self._running[client] < self._most_of_one:
                self._start(client)

    def _start(self, client: str) -> None:
        """Begin *client*'s next turn, and put the client behind all others."""
        turns = self._waiting.pop(client)
        while turns and turns[0].outcome.done():
            turns.popleft()
        if not turns:
            return
        turn = turns.popleft()
        if turns:
            self._waiting[client] = turns
        self._running[client] += 1
        turn.done = asyncio.get_running_loop().run_in_executor(self._pool, turn.work)
        turn.done.add_done_callback(lambda done: self._finish(client, turn, done))

    def _finish(self, client: str, turn: Turn, done: asyncio.Future[Any]) -> None:
        self._running[client] -= 1
        if not self._running[client]:
            del self._running[client]
        if done.cancelled():
            turn.outcome.cancel()
        elif (error := done.exception()) is not None:
            if not turn.outcome.done():
                turn.outcome.set_exception(error)
        elif not turn.outcome.done():
            turn.outcome.set_result(done.result())
        self._start_turns()
