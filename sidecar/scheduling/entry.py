"""One input on its way: what it carries, and what is given back to whoever asked."""

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec

from sidecar.errors import SidecarError
from sidecar.scheduling.job_format import Timings
from sidecar.telemetry.request_id import REQUEST_ID
from sidecar.torchserve.forwarding import ForwardedRequest

Body = bytes | memoryview  # one input, as the job carries it
Payload = Body | ForwardedRequest  # or a whole request, for a custom handler
NUMBER_BYTES = 20  # of a number in JSON, about


class Reply(msgspec.Struct, frozen=True, gc=False):
    """What the handler made of one input, and how."""

    body: bytes
    device: str
    forward_pass: int  # inputs that shared the forward pass
    job: int
    worker: int  # process id
    parameters: dict[str, Any] = {}  # what a reader of *body* has to know
    timings: Timings | None = None  # of the whole job
    version: str = ""  # of the model that made it, if its handler says so


class Forwarded(Reply, frozen=True, gc=False):
    """The response of a custom handler; *pieces* are those of a streamed body."""

    status: int = 200
    reason: str = ""
    headers: Sequence[tuple[str, str]] = ()
    pieces: "Pieces | None" = None


class Pieces(AsyncIterator[bytes]):
    """A body that is still on its way."""

    @abstractmethod
    def leave(self) -> None:
        """Take no more pieces."""


class Entry:
    """One input of a request, on its way through the queue and a job.

    A subclass says where its reply goes.  That is given exactly once: later ones are ignored.
    """

    __slots__ = (
        "abandoned",
        "alone",
        "attempts",
        "body",
        "delay",
        "enqueued_at",
        "parameters",
        "priority",
        "queued",
        "request_id",
        "size",
        "traceparent",
        "type",
        "version",
    )

    def __init__(
        self,
        body: Payload,
        *,
        request_id: str | None,
        priority: float = 0,
        alone: bool = False,
        type: str = "json",  # noqa: A002 - the job format's word
        parameters: dict[str, Any] | None = None,
        traceparent: str | None = None,
        delay: float = 0.0,
    ) -> None:
        self.body = body
        self.priority = priority
        self.alone = alone
        self.type = type
        self.parameters = parameters or {}
        self.traceparent = traceparent
        self.request_id = request_id
        self.delay = delay  # seconds it lets others pass: a long text must not hold up a short one
        # What it takes of queues and jobs.
        self.size = len(body) + _weight(self.parameters) if self.parameters else len(body)
        self.version: str | None = None  # that is to answer it, alone in its job; else the default
        self.attempts = 0
        self.enqueued_at = 0.0
        self.queued = False
        # Nobody waits any more: it was answered, it timed out, or the client left.
        self.abandoned = False

    def answer(self, reply: Reply) -> None:
        """Give the reply, unless nobody waits for it any more."""
        raise NotImplementedError

    def refuse(self, error: SidecarError) -> None:
        """Give an error for a reply, unless nobody waits for it any more."""
        raise NotImplementedError


class AwaitedEntry(Entry):
    """An entry whose reply is awaited, by the request that is being served."""

    __slots__ = ("reply",)

    def __init__(self, body: Payload, reply: asyncio.Future[Reply], **options: Any) -> None:
        super().__init__(body, request_id=REQUEST_ID.get(), **options)
        self.reply = reply

    def answer(self, reply: Reply) -> None:
        """Give the reply, unless nobody waits for it any more."""
        self.abandoned = True
        if not self.reply.done():
            self.reply.set_result(reply)

    def refuse(self, error: SidecarError) -> None:
        """Give an error for a reply, unless nobody waits for it any more."""
        self.abandoned = True
        if not self.reply.done():
            self.reply.set_exception(error)

    def leave(self) -> None:
        """Stop waiting; an error that nobody will look at is then not reported."""
        self.abandoned = True
        if not self.reply.cancel() and not self.reply.cancelled():
            self.reply.exception()


def _weight(parameters: Mapping[str, Any]) -> int:
    """Return roughly how many bytes *parameters* take in a job: each sentence brings its voice."""
    return sum(
        len(value) if isinstance(value, str) else NUMBER_BYTES * len(value)
        for value in parameters.values()
        if isinstance(value, str | list)
    )
