"""Results that were kept: of models whose catalog entry says `cache`."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

from aiohttp import web

from sidecar.caching.answer_cache import OVERHEAD_BYTES, Sized
from sidecar.caching.result_cache import Origin, ResultCache, digest
from sidecar.errors import RequestTimedOut, SidecarError
from sidecar.models.model import Model
from sidecar.scheduling.entry import Body, Reply
from sidecar.scheduling.scheduler import SchedulingOptions
from sidecar.web.admission import Admission
from sidecar.web.page import wants_fresh

Answer = TypeVar("Answer", bound=Sized)


class Predicted:
    """The outcome of each input of one request."""

    def __init__(self, replies: Sequence[Reply | SidecarError]) -> None:
        self.replies = replies

    @property
    def size(self) -> int:
        """Bytes."""
        bodies = sum(len(each.body) for each in self.replies if isinstance(each, Reply))
        return bodies + OVERHEAD_BYTES * len(self.replies)

    def complete(self) -> bool:
        """Whether every input has its result."""
        return not any(isinstance(each, SidecarError) for each in self.replies)


def all_there(replies: Sequence[Reply | SidecarError]) -> list[Reply]:
    """Return the replies.  Raises the first error: the answer's format has no place for one."""
    for reply in replies:
        if isinstance(reply, SidecarError):
            raise reply.with_traceback(None)
    return [reply for reply in replies if isinstance(reply, Reply)]


class SpeechRunner(Protocol):
    """Runs inputs through speech models (`speech_predictions`)."""

    async def run(
        self,
        admission: Admission,
        model: Model,
        bodies: Sequence[Body],
        scheduling: SchedulingOptions,
    ) -> list[Reply | SidecarError]:
        """Return the reply of each input, or why it has none, in order."""


def result_key(model: Model, *request: bytes) -> bytes:
    """Return the cache key of a request to *model* as it is loaded now."""
    return digest((model.key.encode(), model.identity.encode(), *request))


async def cached(
    results: ResultCache,
    request: web.Request,
    key: bytes,
    compute: Callable[[], Awaitable[Answer]],
    keep: Callable[[Answer], bool] = lambda _: True,
) -> tuple[Answer, Origin]:
    """Return the kept answer, or what *compute* returns; a client may ask for a fresh one."""
    ask = results.renew if wants_fresh(request) else results.get
    return await ask(key, compute, keep)


@asynccontextmanager
async def within(scheduling: SchedulingOptions) -> AsyncIterator[None]:
    """Raise RequestTimedOut at the request's deadline, even while it awaits another's result."""
    try:
        async with asyncio.timeout(scheduling.arrived + scheduling.timeout - time.monotonic()):
            yield
    except TimeoutError:
        raise RequestTimedOut(scheduling.timeout, time.monotonic() - scheduling.arrived) from None
