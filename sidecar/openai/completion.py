"""One completion: a text that a model writes in turns, yielded in parts as it is written.

A turn is one entry in the model's queue.  The tokens written so far are sent with the next turn, so
that workers keep no state, and other requests run between two turns.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Literal, NamedTuple

import msgspec

from sidecar.errors import (
    InputRefused,
    InternalError,
    InvalidInput,
    RequestTimedOut,
    SidecarError,
    WorkerDied,
)
from sidecar.scheduling.scheduler import InferenceRequest, Scheduler, SchedulingOptions
from sidecar.scheduling.writing_runner import BegunReply, TextPiece, TextPieces

log = logging.getLogger(__name__)

COMPLETION = "completion"  # the type of the item
MAX_ATTEMPTS = 2  # for each turn
FinishReason = Literal["stop", "length"]


class CompletionMessage(msgspec.Struct, frozen=True):
    """A message of a chat, in the form that chat templates expect."""

    role: str
    content: str


class CompletionOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the handler is to write: how a *prompt* continues, or the answer to *messages*."""

    prompt: msgspec.Raw | None = None
    messages: Sequence[CompletionMessage] = ()
    max_tokens: int | None = None
    cap: int | None = None  # the largest number of tokens if *max_tokens* is None
    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    stop: Sequence[str] = ()
    seed: int = 0


class _Turn(msgspec.Struct):
    """The handler's answer to one turn.  *text* is the text of all turns so far."""

    text: str
    tokens: list[int]
    prompt_tokens: int
    finish_reason: FinishReason | None


_turn = msgspec.json.Decoder(_Turn)


class CompletionCall(NamedTuple):
    """An order, as JSON, for *model*.  The timeout of a stream applies to each of its parts."""

    model: str
    order: bytes
    choice: int  # the index of this completion among several of the same order
    scheduling: SchedulingOptions
    streamed: bool


class CompletionWriting:
    """Generates one completion.  Its results are complete once `parts` has ended."""

    def __init__(
        self,
        scheduler: Scheduler,
        call: CompletionCall,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scheduler = scheduler
        self._call = call
        self._clock = clock
        self._tokens: list[int] = []
        self.text = ""
        self.prompt_tokens = 0
        self.finish_reason: FinishReason | None = None

    @property
    def completion_tokens(self) -> int:
        """The number of tokens written."""
        return len(self._tokens)

    async def parts(self) -> AsyncGenerator[str, None]:
        """Yield the text as it is written.  Closing the generator ends it after the current turn.

        Raises InvalidInput with the field of the order, RequestTimedOut, and the scheduler's
        errors.
        """
        while self.finish_reason is None:
            async with aclosing(self._turn()) as parts:
                async for part in parts:
                    yield part

    async def _turn(self) -> AsyncGenerator[str, None]:
        """Yield what one turn writes.

        If the worker dies, the turn is repeated once, alone: another input may have been the cause.
        """
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                async with aclosing(self._attempt(alone=attempt > 1)) as parts:
                    async for part in parts:
                        yield part
            except WorkerDied:
                if attempt == MAX_ATTEMPTS:
                    raise
            except InputRefused as exc:
                raise InvalidInput(exc.reason, field=exc.part or "inputs") from exc
            else:
                return

    async def _attempt(self, *, alone: bool) -> AsyncGenerator[str, None]:
        call, options = self._call, self._call.scheduling
        began = self._clock() if call.streamed and self._tokens else options.arrived
        state = {"choice": call.choice, "written": self._tokens}
        pending = self._scheduler.start(
            InferenceRequest(
                call.model,
                [call.order],
                options.priority,
                options.timeout,
                began,
                alone=alone or options.alone,
                traceparent=options.traceparent,
                type=COMPLETION,
                parameters=[state],
            )
        )
        try:
            reply = await pending.entries[0].reply
            body: bytes | msgspec.Raw = reply.body
            if isinstance(reply, BegunReply) and reply.pieces is not None:
                async for piece in self._in_time(reply.pieces, began):
                    if piece.is_last:
                        body = piece.answer
                        break
                    if new := self._unseen(piece.at, piece.text):
                        yield new
            turn = _turn.decode(body)
        finally:
            pending.close()
        if not turn.text.startswith(self.text):  # a repeated turn produced a different text
            raise InternalError
        new = turn.text[len(self.text) :]
        self.text = turn.text
        self._tokens += turn.tokens
        self.prompt_tokens = turn.prompt_tokens
        self.finish_reason = turn.finish_reason
        if new:
            yield new

    def _unseen(self, at: int, text: str) -> str:
        """Return the new part of *text*, which begins after *at* characters, and append it."""
        new = text[len(self.text) - at :] if at <= len(self.text) else ""
        self.text += new
        return new

    async def _in_time(self, pieces: TextPieces, began: float) -> AsyncIterator[TextPiece]:
        """Yield *pieces*.  Raises RequestTimedOut if one does not arrive in time."""
        seconds = self._call.scheduling.timeout
        while True:
            since = self._clock() if self._call.streamed else began
            try:
                async with asyncio.timeout(since + seconds - self._clock()):
                    piece = await anext(pieces)
            except TimeoutError:
                raise RequestTimedOut(seconds, self._clock() - began) from None
            yield piece


async def written_together(
    writings: Sequence[CompletionWriting],
) -> AsyncGenerator[tuple[int, str | None], None]:
    """Yield the index of a completion and the next part of its text, or None at its end.

    Raises the first error.  An error, and closing the generator, stop all completions.
    """
    parts: asyncio.Queue[tuple[int, str | SidecarError | None]] = asyncio.Queue()

    async def write(place: int, writing: CompletionWriting) -> None:
        end: SidecarError | None = InternalError()
        try:
            async with aclosing(writing.parts()) as written:
                async for part in written:
                    parts.put_nowait((place, part))
            end = None
        except SidecarError as exc:
            end = exc
        except Exception:
            log.exception("a completion failed in the sidecar")
        finally:
            parts.put_nowait((place, end))

    tasks = [asyncio.create_task(write(*each)) for each in enumerate(writings)]
    try:
        left = len(tasks)
        while left:
            place, part = await parts.get()
            if isinstance(part, SidecarError):
                raise part
            left -= part is None
            yield place, part
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
