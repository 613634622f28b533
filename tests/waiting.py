"""Wait for conditions: the only place where tests let time pass until something is true."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

STEP_SECONDS = 0.01
TURNS = 200

T = TypeVar("T")


async def until(condition: Callable[[], T], seconds: float = 10.0) -> T:
    """Wait until *condition* returns something true, and return it.

    Raises TimeoutError after *seconds*.
    """
    async with asyncio.timeout(seconds):
        while not (result := condition()):
            await asyncio.sleep(STEP_SECONDS)
    return result


async def until_awaited(
    ask: Callable[[], Awaitable[T]], is_met: Callable[[T], object] = bool, seconds: float = 10.0
) -> T:
    """Await *ask* again and again until *is_met* accepts its result, and return that.

    Raises TimeoutError after *seconds*.
    """
    async with asyncio.timeout(seconds):
        while not is_met(result := await ask()):
            await asyncio.sleep(STEP_SECONDS)
    return result


def block_until(condition: Callable[[], T], seconds: float = 10.0) -> T:
    """Block this thread until *condition* returns something true, and return it.

    Raises TimeoutError after *seconds*.
    """
    end = time.monotonic() + seconds
    while not (result := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"the condition is still false after {seconds:g} s")
        time.sleep(STEP_SECONDS)
    return result


async def let_the_loop_turn(times: int = TURNS) -> None:
    """Let everything run that waits for no clock, so that what has not happened will not.

    For assertions that something does *not* happen: what is sent within this process arrives and
    is answered within these turns.
    """
    for _ in range(times):
        await asyncio.sleep(0)
