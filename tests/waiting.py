"""Wait for conditions: the only place where tests let time pass until something is true."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

SHORTEST_PAUSE_SECONDS = 0.01
LONGEST_PAUSE_SECONDS = 0.1
LIMIT_SECONDS = 60.0  # only what hangs takes as long: a busy machine must not fail a test
TURNS = 200

T = TypeVar("T")


def _pause_since(began: float) -> float:
    """Return how many seconds to pause before looking again, after waiting since *began*.

    It is a twentieth of the time waited: whoever asks a server a hundred times a second whether it
    has started takes a good part of its processor.
    """
    waited = time.monotonic() - began
    return min(max(SHORTEST_PAUSE_SECONDS, waited / 20), LONGEST_PAUSE_SECONDS)


async def until(condition: Callable[[], T], seconds: float = LIMIT_SECONDS) -> T:
    """Wait until *condition* returns something true, and return it.

    Raises TimeoutError after *seconds*.
    """
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while not (result := condition()):
            await asyncio.sleep(_pause_since(began))
    return result


async def until_awaited(
    ask: Callable[[], Awaitable[T]],
    is_met: Callable[[T], object] = bool,
    seconds: float = LIMIT_SECONDS,
) -> T:
    """Await *ask* again and again until *is_met* accepts its result, and return that.

    Raises TimeoutError after *seconds*.
    """
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while not is_met(result := await ask()):
            await asyncio.sleep(_pause_since(began))
    return result


def block_until(condition: Callable[[], T], seconds: float = LIMIT_SECONDS) -> T:
    """Block this thread until *condition* returns something true, and return it.

    Raises TimeoutError after *seconds*.
    """
    began = time.monotonic()
    while not (result := condition()):
        if time.monotonic() > began + seconds:
            raise TimeoutError(f"the condition is still false after {seconds:g} s")
        time.sleep(_pause_since(began))
    return result


async def let_the_loop_turn(times: int = TURNS) -> None:
    """Let everything run that waits for no clock, so that what has not happened will not.

    For assertions that something does *not* happen: what is sent within this process arrives and
    is answered within these turns.
    """
    for _ in range(times):
        await asyncio.sleep(0)
