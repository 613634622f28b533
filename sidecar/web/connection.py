"""One client's connection, with limits for all that a client can do slowly or wrongly.

aiohttp parses the requests and runs them.  What is added here: time limits for each phase, errors
of the parser in the usual format, clients that close their sending side, leaving, and the fast path
of plain requests (`fast_path`).  Connections keep no timers: `Connections` looks at all of them
once in a while, and time is counted in looks.  So no client is blamed for a delay of the server
itself.
"""

import asyncio
import sys
from contextlib import suppress
from socket import SO_ERROR, SOL_SOCKET
from typing import Any, NamedTuple

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import _ErrInfo

from sidecar.errors import (
    Draining,
    InternalError,
    InvalidBody,
    MalformedRequest,
    RequestTimeout,
    SidecarError,
    UnknownExpectation,
)
from sidecar.web.body_reader import UNCOUNTED_BYTES
from sidecar.web.fast_path import FastCall, PlainHead
from sidecar.web.known_head import KnownHead, known_head
from sidecar.web.middleware import ServerContext, refuse_unrouted, refuse_unserved

HANG_UP_SECONDS = 1.0  # for a client to read its refusal before the connection is gone
PROBE_AFTER_SECONDS = 0.2  # an answer that comes sooner needs no probe
QUEUED_SECONDS = 0.002  # in which a request leaves its queue if nothing is in its way
RESET_SECONDS = 0.005  # in which a client nearby resets what it has closed
PROBE_EVERY_SECONDS = 5.0
PROBE = b"HTTP/1.1 100 Continue\r\n\r\n"
UNKNOWN_EXPECTATION = UnknownExpectation("expected 100-continue or none", field="Expect")
MAX_DETAIL = 200  # characters of what the parser says


class _Known(NamedTuple):
    """The head of the last request, which was plain, as *text* and what it says.

    The parser is between two messages once *missing* bytes of that request's body have come.
    """

    text: KnownHead
    head: PlainHead
    missing: int


class Connection(web.RequestHandler):
    """aiohttp's connection, with limits.  `check` is to be called once in a while."""

    __slots__ = (
        "_answered",
        "_body",
        "_body_bytes",
        "_body_seconds",
        "_call",
        "_deaf",
        "_early",
        "_half_closed",
        "_hanging_up",
        "_head_begun",
        "_head_seconds",
        "_known",
        "_parked",
        "_probe_in_seconds",
        "_silent_seconds",
        "_stalled_seconds",
        "_started",
        "_unsent_bytes",
        "_watched_body",
        "context",
    )

    def __init__(self, manager: web.Server, context: ServerContext, **options: Any) -> None:
        super().__init__(manager, **options)
        self.context = context
        self._started = False  # whether aiohttp's loop for the connection has begun
        self._early = b""  # what came, and the parser has not seen
        self._body: StreamReader | None = None  # of the request whose head came last
        self._answered: StreamReader | None = None  # of the request that was answered last
        self._deaf = False  # whatever else the client sends is ignored
        self._half_closed = False  # the client will send no more, and may still read
        self._hanging_up = False
        self._head_begun = False
        self._head_seconds = 0.0
        self._watched_body: StreamReader | None = None
        self._body_bytes = 0
        self._body_seconds = 0.0
        self._silent_seconds = 0.0
        self._stalled_seconds = 0.0
        self._unsent_bytes = 0
        self._probe_in_seconds = PROBE_EVERY_SECONDS
        self._call: FastCall | None = None  # a plain request, while it is served
        self._parked: asyncio.Future[None] | None = None  # what aiohttp waits for, meanwhile
        self._known: _Known | None = None

    @property
    def unanswered(self) -> bool:
        """Whether a request has come whose answer has not left."""
        if self._hanging_up or self.transport is None:
            return False
        return bool(self._messages or self._early) or self._request_in_progress

    @property
    def stalled(self) -> bool:
        """Whether the client is not reading its answer at present."""
        return self._stalled_seconds > 0

    @property
    def idle_since(self) -> float | None:
        """When the last answer left, or the connection was made; None while it is in use."""
        if not self._awaits_head or self._head_begun:
            return None
        return self._next_keepalive_close_time - self._keepalive_timeout

    @property
    def _awaits_head(self) -> bool:
        return not self._messages and (self._waiter is not None or self._request_count == 0)

    @property
    def _body_unfinished(self) -> bool:
        return self._body is not None and not self._body.is_eof()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let aiohttp's loop for the connection begin."""
        super().connection_made(transport)
        self._loop.call_soon(self._parse_early)  # which comes after the loop's first step

    def _parse_early(self) -> None:
        """Let the parser see what has been kept from it."""
        self._started = True
        data, self._early = self._early, b""
        if data and self.transport is not None:
            self._known = None
            self.data_received(data)

    def data_received(self, data: bytes) -> None:
        """Serve or parse *data*."""
        if not self._started:  # a first request that is plain could not take the fast path
            self._early += data
            return
        if self._deaf:
            self._pause_for_a_turn()
            return
        known = self._known
        if known is None or not data:  # aiohttp asks for what the parser has put off
            self._parse(data)
            return
        if not known.missing and self._take_again(known, data):
            return
        if self._early:  # its rest is not what has come
            self._parse_early()
            self.data_received(data)
            return
        self._known = None
        self._parse(data)
        if known.missing and len(data) == known.missing and not self._body_unfinished:
            self._known = known._replace(missing=0)

    def _take_again(self, known: _Known, data: bytes) -> bool:
        """Serve *data* if it is a plain request with the same head: the parser need not see it.

        If it is the beginning of one, keep it until the next piece comes, or the next check.
        Return False if it has to be parsed.
        """
        path, waiter = self.context.fast_path, self._waiter
        if path is None or waiter is None or waiter.done() or self._messages:
            return False  # another request is being served, or the connection is being closed
        body = known.text.find_body(self._early + data)
        if body is None or self._paused or self._half_closed:
            return False
        if body.missing:
            keep = 0 < body.missing <= UNCOUNTED_BYTES and not self._early
            if keep:
                self._early, self._head_begun = data, True
            return keep
        call = path.take(self, known.head, body.data)
        if call is None:
            return False
        self._early, self._head_begun = b"", False
        self._request_count += 1
        self._body = None
        self._parked, self._waiter = waiter, None
        self._begin(call)
        return True

    def _parse(self, data: bytes) -> None:
        """Give *data* to the parser, and what it finds to aiohttp or to the fast path."""
        # aiohttp goes on with whatever it finds as soon as this future is set: not yet.
        waiter, self._waiter = self._waiter, None
        super().data_received(data)
        if not self._messages:
            self._waiter = waiter
            self._head_begun = waiter is not None
            return
        message, body = self._messages[-1]
        whole = len(self._messages) == 1 and data.startswith(b"POST ")  # with the head's beginning
        self._head_begun, self._head_seconds = False, 0.0
        if isinstance(message, _ErrInfo):
            self._take_error(message)
        elif waiter is not None and whole and (call := self._plain_call(message, body, data)):
            _, self._body = self._messages.popleft()
            assert self._parser is not None
            self._parser.message_consumed()
            self._parked = waiter
            self._begin(call)
            return
        else:
            self._body = body
        self._waiter = waiter
        self._go_on()

    def _plain_call(
        self, message: RawRequestMessage, body: StreamReader, data: bytes
    ) -> FastCall | None:
        """Return the call that is made of a plain request, which is all of *data*.

        Remember its head, also where *data* is only that.
        """
        path, stuck = self.context.fast_path, self._paused or self._half_closed
        if path is None or stuck or not message.path.startswith(path.beginnings):
            return None
        start = data.find(b"\r\n\r\n") + 4
        length = message.headers.get(hdrs.CONTENT_LENGTH, "")
        whole = body.is_eof() and length == str(len(data) - start)
        if not whole and (len(data) > start or not 0 < int(length or 0) <= UNCOUNTED_BYTES):
            return None
        head = path.read(message)
        call = path.take(self, head, data[start:]) if head is not None and whole else None
        if head is not None and (call or not whole) and head.may_come_again:
            text = known_head(message, data[:start])
            if text is not None:
                self._known = _Known(text, head, 0 if whole else int(length))
        return call

    def _begin(self, call: FastCall) -> None:
        """Let *call* answer the request that came last."""
        self._call = call
        assert self._manager is not None
        self._manager.requests_count += 1
        self._request_in_progress = True
        call.begin()

    @property
    def remote(self) -> str | None:
        """The address of the client, or of a proxy."""
        peer = self.peername
        return str(peer[0]) if isinstance(peer, tuple) else peer

    @property
    def ends(self) -> bool:
        """Whether no other request can follow the one that is being served."""
        return (self._half_closed or self.context.draining.is_set()) and not self._messages

    def end_call(self, answer: bytes) -> None:
        """Send *answer*, or the end of it, and take the next request."""
        ends = self.ends
        self._leave_call()
        if self.transport is None:
            return
        self.transport.write(answer)
        if ends:
            self.force_close()
            return
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(
                self._next_keepalive_close_time, self._process_keepalive
            )
        self._go_on()

    def _leave_call(self) -> None:
        """Let aiohttp wait for the next message, if the connection is still open."""
        self._call = None
        self._request_in_progress = False
        if self._handler_waiter is not None and not self._handler_waiter.done():
            self._handler_waiter.set_result(None)
        if self.transport is not None:
            self._waiter, self._parked = self._parked, None

    async def send_piece(self, piece: bytes) -> None:
        """Send part of an answer, and wait while the client reads too slowly.

        Raises ConnectionError.
        """
        if self.transport is None:
            raise ConnectionResetError("the client has left")
        self.transport.write(piece)
        await self._drain_helper()

    def cut(self) -> None:
        """Close the connection: the answer that has begun is not whole."""
        self._leave_call()
        self.force_close()

    def _go_on(self) -> None:
        """Let aiohttp take the next message, if there is one."""
        if self._messages and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:  # type: ignore[override]
        """Cancel the work for a client that has left."""
        call, self._call = self._call, None
        if call is not None:
            call.leave()
            self._waiter, self._parked = self._parked, None
            self._request_in_progress = False
        super().connection_lost(exc)

    def _pause_for_a_turn(self) -> None:
        """Leave further input to the next turn: the event loop would read megabytes in one."""
        self._pause_transport_reading()
        self._loop.call_soon(self._resume_transport_reading)

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Go on answering a client that has closed its sending side."""
        self._parse_early()
        if self._deaf or self._awaits_head:
            return None  # no answer is due: the transport closes
        if self._half_closed:
            return True  # told twice: aiohttp resumed reading
        self._half_closed = True
        self._loop.call_later(QUEUED_SECONDS, self._probe_queued)
        self._loop.call_later(PROBE_AFTER_SECONDS, self._probe)
        if self._body_unfinished:
            self._end_body(
                InvalidBody("the connection ended before all of it had come", field="body")
            )
        return True

    def resume_writing(self) -> None:
        """Note that the client has read."""
        self._unsent_bytes = sys.maxsize
        super().resume_writing()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send *resp*; close the connection after it if no further request can come."""
        if isinstance(resp, web.HTTPExpectationFailed):  # before any middleware saw the request
            resp = refuse_unrouted(self.context, request, UNKNOWN_EXPECTATION)
        content = request.content
        broken = self._deaf or content.exception() is not None
        if (broken or self._half_closed or self.context.draining.is_set()) and not self._messages:
            resp.force_close()
        self._answered = content
        result = await super().finish_response(request, resp, start_time)
        if broken and not self._messages:
            if not content.is_eof():
                content.feed_eof()  # the rest of the body will not be sent
            await self._hang_up()
        return result

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is not a valid request, or what no middleware caught."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun: no other can be sent")
        if isinstance(exc, UnicodeEncodeError) and hdrs.EXPECT in request.headers:
            exc = UNKNOWN_EXPECTATION  # aiohttp could not quote what it refused
        if not isinstance(exc, SidecarError | HttpProcessingError):
            self.log_exception("unhandled error (%d)", status, exc_info=exc)
            exc = InternalError()
        if isinstance(exc, HttpProcessingError):
            exc = MalformedRequest(_first_line(message or exc.message))
        return refuse_unrouted(self.context, request, exc)

    def check(self, seconds: float, transport: asyncio.Transport) -> None:
        """Enforce the time limits.  *seconds* have passed since the last check.

        aiohttp itself closes connections that have been idle for its `keepalive_timeout`.
        """
        self._check_writing(seconds, transport)
        if self._call is not None:
            self._call.watch_time()
        if self._early:
            self._parse_early()
        if self._hanging_up or transport.is_closing():
            return
        if self._awaits_head:
            self._check_head(seconds)
        elif self._body_unfinished:
            self._check_body(seconds)
        elif self._half_closed:
            self._check_half_closed(seconds)

    def refuse_unfinished(self) -> None:
        """Refuse an incomplete request, because the server is stopping."""
        refusal = Draining("the server is shutting down; this request was not whole")
        if self._early:
            self._parse_early()
        if self._awaits_head and self._head_begun:
            self._refuse_head(refusal)
        elif self._body_unfinished:
            self._end_body(refusal)

    def refuse_unserved(self) -> None:
        """Refuse the request that is being served, whatever it waits for."""
        if self._call is not None:
            self._call.stop(Draining("the server is shutting down", retry_after=5))
        elif isinstance(self._current_request, web.Request):
            refuse_unserved(self._current_request)

    def _take_error(self, error: _ErrInfo) -> None:
        self._deaf = True
        if self._body_unfinished:  # then it is the body that is damaged: its request is refused
            self._messages.pop()
            self._end_body(InvalidBody(f"{_first_line(error.message)}", field="body"))

    def _end_body(self, reason: SidecarError) -> None:
        """Raise *reason* in whatever reads the body."""
        self._deaf = True
        assert self._body is not None
        if self._body is self._answered:  # no handler reads it: aiohttp discards what still comes
            self._close = True
            self._body.feed_eof()
        elif self._body.exception() is None:
            self._body.set_exception(reason)

    def _refuse_head(self, reason: SidecarError) -> None:
        self._deaf = True
        self._messages.append((_ErrInfo(reason.status, reason, reason.message), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _hang_up(self) -> None:
        """Close the sending side, and give the client time to read.

        Closing a socket with unread input at once would reset the connection, and the client
        might lose the answer.
        """
        self._deaf = self._hanging_up = True
        if self.transport is not None and not self.transport.is_closing():
            self._resume_transport_reading()
            if not self._half_closed:
                with suppress(OSError):  # the client has left already
                    self.transport.write_eof()
                await asyncio.sleep(HANG_UP_SECONDS)  # cut short when the client closes

    def _check_head(self, seconds: float) -> None:
        if not self._head_begun and self._request_count:
            return
        self._head_seconds += seconds
        limit = self.context.settings.header_timeout_seconds
        if self._head_seconds < limit:
            return
        if self._head_begun:
            self._refuse_head(
                RequestTimeout(f"expected all within {limit:g} seconds", field="headers")
            )
        else:
            self.force_close()  # it never sent a request: there is nothing to answer

    def _check_body(self, seconds: float) -> None:
        body, settings = self._body, self.context.settings
        assert body is not None
        if body is not self._watched_body:
            self._watched_body, self._body_bytes = body, 0
            self._body_seconds = self._silent_seconds = 0.0
        if self._reading_paused or self._buffer_paused:
            return  # the client waits for us
        self._body_seconds += seconds
        self._silent_seconds += seconds
        if body.total_bytes > self._body_bytes:
            self._body_bytes, self._silent_seconds = body.total_bytes, 0.0
        idle = settings.body_idle_timeout_seconds
        least = settings.min_body_bytes_per_second
        if self._silent_seconds >= idle:
            self._end_body(RequestTimeout(f"nothing of it came for {idle:g} seconds", field="body"))
        elif self._body_seconds >= idle and body.total_bytes < least * self._body_seconds:
            self._end_body(
                RequestTimeout(f"expected at least {least:g} bytes per second", field="body")
            )

    def _check_writing(self, seconds: float, transport: asyncio.Transport) -> None:
        """Cut the connection when the client has read nothing for too long."""
        unsent = transport.get_write_buffer_size()
        if unsent and unsent >= self._unsent_bytes:
            self._stalled_seconds += seconds
            if self._stalled_seconds >= self.context.settings.write_timeout_seconds:
                transport.abort()
        else:
            self._stalled_seconds = 0.0
        self._unsent_bytes = unsent

    def _probe_queued(self) -> None:
        """Hold a plain request that waits in its queue back, until the client is known to be there.

        What is at TorchServe already is worked on in any case.
        """
        if self._call is not None and self._call.hold_back():
            self._probe()

    def _probe(self) -> None:
        """Find out whether a client that closed its sending side is still there.

        One that has closed altogether looks the same until something is sent to it; then it
        resets the connection, and its request is cancelled.  An interim response is what HTTP
        lets us send before the answer, and every client must skip it (RFC 9110, section 15.2).
        """
        if self._awaits_head:  # it closed while its last answer was sent: no other is due
            self.force_close()
        request, call = self._current_request, self._call
        if call is not None:
            may_be_probed = not call.streams
        elif request is not None:
            may_be_probed = request.writer.output_size == 0 and request.version >= (1, 1)
        else:
            return
        if self.transport is not None and may_be_probed:
            self.transport.write(PROBE)
            self._loop.call_later(RESET_SECONDS, self._notice_reset)

    def _notice_reset(self) -> None:
        """Cut the connection if the client has reset it: the event loop no longer looks."""
        if self.transport is None:
            return
        sock = self.transport.get_extra_info("socket")
        if sock.getsockopt(SOL_SOCKET, SO_ERROR):
            self.transport.abort()
        elif self._call is not None:
            self._call.go_on()

    def _check_half_closed(self, seconds: float) -> None:
        self._notice_reset()
        self._probe_in_seconds -= seconds
        if self._probe_in_seconds <= 0:
            self._probe_in_seconds = PROBE_EVERY_SECONDS
            self._probe()


def _first_line(text: str) -> str:
    """Return the message of the parser without its excerpt of the bytes."""
    return text.strip().partition("\n")[0].rstrip(":")[:MAX_DETAIL]
