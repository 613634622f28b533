"""A model hub in a thread of its own, for servers that are other processes."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.hub import FakeHub
from tests.waiting import LIMIT_SECONDS


@contextmanager
def running_hub() -> Iterator[FakeHub]:
    """Run the hub until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="hub")
    thread.start()

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    async def make() -> FakeHub:
        hub = FakeHub()
        await hub.start()
        return hub

    hub = run(make())
    try:
        yield hub
    finally:
        run(hub.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(LIMIT_SECONDS)
        loop.close()


def files_of(folder: Path) -> dict[str, bytes]:
    """Return a folder as a repository's files."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
