"""`python -m tests.attacks.stallable_server PORT`: answers /livez, and stands still when told to.

`POST /STALL` lets it: the event loop itself computes or sleeps, or another thread computes and
keeps the interpreter's lock, so that the loop cannot turn.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from functools import partial

from aiohttp import web

NUMBERS = 20_000_000  # adding them takes some tenths of a second, on a busy machine longer
SLEEP_SECONDS = 2.0  # so long that a look surely begins meanwhile


def _compute() -> None:
    """Compute, and keep the interpreter's lock to the end."""
    sum(range(NUMBERS))


def _sleep() -> None:
    time.sleep(SLEEP_SECONDS)


async def _on_the_loop(act: Callable[[], None], _: web.Request) -> web.Response:
    act()
    return web.Response()


async def _in_a_thread(act: Callable[[], None], _: web.Request) -> web.Response:
    await asyncio.to_thread(act)
    return web.Response()


async def _alive(_: web.Request) -> web.Response:
    return web.Response()


if __name__ == "__main__":
    app = web.Application()
    app.router.add_get("/livez", _alive)
    app.router.add_post("/compute", partial(_on_the_loop, _compute))
    app.router.add_post("/sleep", partial(_on_the_loop, _sleep))
    app.router.add_post("/compute_in_thread", partial(_in_a_thread, _compute))
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
