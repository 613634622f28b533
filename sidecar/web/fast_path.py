"""The fast path of a plain request: without a task, and without aiohttp's request and response.

Most requests of a route are alike: one piece, nothing unusual in the head, a credential that has
been checked before.  `FastPath.take` is shown each request that has come in one piece.  Where all
that middleware and admission would check is plainly in order, it returns a `FastCall`: the entry
that goes to the queue, and which answers the client itself.  Of anything else it returns None, and
has changed nothing: the request then takes the ordinary path (aiohttp, middleware, admission).  A
request that fails a check before it is queued is thus always refused on the ordinary path, and a
check here may be stricter than the one it stands for, never laxer.

What a head says is read once (`FastPath.read`), where the connection sends it again.  All that may
change from one request to the next is asked anew for each (`FastPath.take`): the credential, the
model, and whether the server is leaving.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from aiohttp import HttpVersion11, hdrs
from aiohttp.http_parser import RawRequestMessage

from sidecar.access.authenticator import Authenticator
from sidecar.access.identity import Identity
from sidecar.access.limits import Limits
from sidecar.access.origins import OriginGuard
from sidecar.errors import ForbiddenOrigin, InternalError, RequestTimedOut, SidecarError
from sidecar.scheduling.dispatcher import Dispatcher
from sidecar.scheduling.entry import Entry, Payload, Pieces, Reply
from sidecar.settings import Settings
from sidecar.telemetry.statistics import Statistics
from sidecar.web import request_head
from sidecar.web.accounting import RequestAccounting
from sidecar.web.admission import API_KEY
from sidecar.web.answer_head import json_head
from sidecar.web.body_reader import UNCOUNTED_BYTES
from sidecar.web.error_forms import ErrorForm, Fault
from sidecar.web.turns import Turns

log = logging.getLogger(__name__)

SOON_SECONDS = 2.0  # within which a call that is due has a timer; connections look more often
_UNUSUAL = (
    hdrs.CONTENT_ENCODING,
    hdrs.EXPECT,
    hdrs.ORIGIN,
    hdrs.TRANSFER_ENCODING,
    hdrs.ACCESS_CONTROL_REQUEST_METHOD,
)


class FastConnection(Protocol):
    """A connection, as far as a call knows it."""

    @property
    def remote(self) -> str | None:
        """The address of the client, or of a proxy."""

    @property
    def ends(self) -> bool:
        """Whether the connection is closed after this answer."""

    def end_call(self, answer: bytes) -> None:
        """Send *answer*, or the end of it, and take the next request."""

    async def send_piece(self, piece: bytes) -> None:
        """Send part of an answer, and wait while the client reads too slowly.

        Raises ConnectionError.
        """

    def cut(self) -> None:
        """Close the connection: the answer that has begun is not whole."""


class FastAnswer(NamedTuple):
    """An answer: its *data*, head and body; *size* is that of the body.

    Of a streamed one, *data* is the head alone, and *pieces* are still on their way.
    """

    status: int
    size: int
    data: bytes
    pieces: Pieces | None = None


class Prepared(Protocol):
    """What a route has made of a request: one input for one model, and how to answer it."""

    @property
    def route(self) -> str:
        """The path as the route declares it."""

    @property
    def error_form(self) -> ErrorForm:
        """How the clients of the route read errors."""

    @property
    def dispatcher(self) -> Dispatcher:
        """What takes the input."""

    @property
    def body(self) -> Payload:
        """The input, as the job carries it."""

    @property
    def priority(self) -> float:
        """How soon it is to run, 0 to 10."""

    @property
    def timeout(self) -> float:
        """Seconds from the request's arrival."""

    @property
    def alone(self) -> bool:
        """Whether it has a job of its own."""

    def write(self, reply: Reply, seconds: float, request_id: str, *, close: bool) -> FastAnswer:
        """Return the answer, *seconds* after the request's arrival.

        *close*: no other answer follows on the connection.
        """


# Of the head and the body of a request.  None: it takes the ordinary path.
Prepare = Callable[[RawRequestMessage, bytes], Prepared | None]


class PlainHead(NamedTuple):
    """What a plain head says, whenever it is read.

    *message* is what the parser made of it; its Content-Length may be that of another request.
    """

    message: RawRequestMessage
    prepare: Prepare
    authorization: str | None
    api_key: str | None
    request_id: str | None
    traceparent: str | None
    forwarded_for: str

    @property
    def may_come_again(self) -> bool:
        """Whether it is likely to; one with an id of its own is not."""
        return self.request_id is None and self.traceparent is None


class FastCall(Entry):
    """One plain request: the entry that its input becomes, which answers the client itself."""

    __slots__ = (
        "_arrived",
        "_connection",
        "_done",
        "_head",
        "_held",
        "_identity",
        "_path",
        "_prepared",
        "_stream",
        "_timer",
    )

    request_id: str

    def __init__(
        self,
        path: "FastPath",
        prepared: Prepared,
        connection: FastConnection,
        head: PlainHead,
        identity: Identity | None,
    ) -> None:
        super().__init__(
            prepared.body,
            request_id=head.request_id or request_head.new_request_id(),
            priority=prepared.priority,
            alone=prepared.alone,
            traceparent=head.traceparent,
        )
        self._path = path
        self._prepared = prepared
        self._connection = connection
        self._identity = identity
        self._head = head
        self._done = False
        self._held = False
        self._stream: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Queue the input in this turn of the event loop, or in a later one if this is full."""
        path = self._path
        self._arrived = path.statistics.begin()
        self._timer: asyncio.TimerHandle | None = None
        if self._prepared.timeout < SOON_SECONDS:
            self.watch_time()
        if path.turns.take():
            self._queue()
        else:
            peer = self._connection.remote
            client = path.limits.client(self._identity, peer, self._head.forwarded_for)
            path.turns.line_up(client, self._queue)

    def watch_time(self) -> None:
        """Set a timer if the time is up soon.  This is to be called at least once a second.

        Most requests are answered long before: a timer for each costs a tenth of its processor
        time.
        """
        left = self._arrived + self._prepared.timeout - time.monotonic()
        if self._timer is None and self._stream is None and left < SOON_SECONDS:
            self._timer = asyncio.get_running_loop().call_later(max(left, 0), self._time_out)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _queue(self) -> bool:
        """Queue the input; return whether anybody still waits for the answer."""
        if self._done:
            return False
        try:
            self._prepared.dispatcher.put((self,))
        except SidecarError as exc:
            self.refuse(exc)
        return True

    @property
    def streams(self) -> bool:
        """Whether the answer has begun, and comes piece by piece."""
        return self._stream is not None

    def answer(self, reply: Reply) -> None:
        """Send the answer, unless nobody waits for it any more."""
        if self.abandoned:
            return
        connection, now = self._connection, time.monotonic()
        try:
            answer = self._prepared.write(
                reply,
                now - self._arrived,
                self.request_id,
                close=connection.ends,
            )
        except Exception:
            log.exception("an answer of %s cannot be written", self._prepared.route)
            self.refuse(InternalError())
            return
        if answer.pieces is not None:
            self._stop_timer()
            self.abandoned = True  # by the job, from which nothing more is wanted
            self._stream = asyncio.create_task(self._pass_on(answer, answer.pieces))
            return
        self._wait_no_longer()
        connection.end_call(answer.data)
        self._path.record_soon(self, answer.status, answer.size, now)

    async def _pass_on(self, answer: FastAnswer, pieces: Pieces) -> None:
        """Send an answer piece by piece; each may take as long as the whole time-out."""
        connection, size, whole = self._connection, 0, False
        try:
            await connection.send_piece(answer.data)
            while not whole:
                async with asyncio.timeout(self._prepared.timeout):
                    piece = await anext(pieces, b"")
                if piece:
                    size += len(piece)
                    await connection.send_piece(b"%x\r\n%b\r\n" % (len(piece), piece))
                else:
                    whole = True
        except (TimeoutError, SidecarError, ConnectionError):
            pass  # an answer without an end is how HTTP says "cut short"
        finally:
            pieces.leave()
            if not self._done:
                self._end(answer.status, size)
                if whole:
                    connection.end_call(b"0\r\n\r\n")
                else:
                    connection.cut()

    def refuse(self, error: SidecarError) -> None:
        """Send an error, unless nobody waits for an answer any more."""
        if self.abandoned:
            return
        self._path.accounting.count_refusal(error)
        form = self._prepared.error_form
        body, status = form.encode(Fault.of(error)), form.status(error.status)
        self._end(status, len(body))
        head = json_head(
            status,
            len(body),
            self.request_id,
            headers=error.headers,
            close=self._connection.ends,
        )
        self._connection.end_call(head + body)

    def hold_back(self) -> bool:
        """Take the input out of the queue, if it is there; return whether it was."""
        if self.queued:
            self._prepared.dispatcher.discard((self,))
            self._held = True
        return self._held

    def go_on(self) -> None:
        """Put the input back to its place in the queue, if it was held back."""
        if self._held and not self._done:
            self._held = False
            self._prepared.dispatcher.put_back(self)

    def stop(self, error: SidecarError) -> None:
        """Send an error, or cut short an answer that has begun."""
        if self._stream is not None:
            self._stream.cancel()
        else:
            self.refuse(error)

    def leave(self) -> None:
        """Stop waiting: the client has left."""
        if not self._done:
            self._end(None, None)
            if self._stream is not None:
                self._stream.cancel()

    def _end(self, status: int | None, size: int | None) -> None:
        """Wait no longer, and record the request; both None: the client left."""
        self._wait_no_longer()
        self.record(status, size, time.monotonic())

    def _wait_no_longer(self) -> None:
        self._done = self.abandoned = True
        self._stop_timer()
        if self.queued:
            self._prepared.dispatcher.discard((self,))

    def record(self, status: int | None, size: int | None, ended: float) -> None:
        """Count and log the request, which *ended* then; both None: the client left."""
        path, route, success = self._path, self._prepared.route, status is not None and status < 400
        taken = path.statistics.end(self._arrived, inputs=1, success=success, ended=ended)
        if success:
            path.accounting.metrics.latency.of(route).observe(taken)
        method = self._head.message.method
        path.accounting.record(method, route, status, taken, self._identity, size, self.request_id)

    def _time_out(self) -> None:
        waited = time.monotonic() - self._arrived
        self.refuse(RequestTimedOut(self._prepared.timeout, waited))


@dataclass(slots=True, kw_only=True)
class FastPath:
    """Takes plain requests.

    *fast_routes* has what prepares the requests of a path, or of all paths one step below it if it
    ends with a slash; *beginnings* are those paths: no other request needs to be shown.
    """

    settings: Settings
    guard: OriginGuard
    authenticator: Authenticator
    limits: Limits
    turns: Turns
    draining: asyncio.Event
    statistics: Statistics
    accounting: RequestAccounting
    fast_routes: Mapping[str, Prepare]
    beginnings: tuple[str, ...] = field(init=False)
    _unrecorded: list[tuple[FastCall, int, int, float]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        """Take nothing if clients or the machine have limits: the ordinary path checks those."""
        if self.limits.clients_limited or self.limits.throttled:
            self.fast_routes = {}
        self.beginnings = tuple(self.fast_routes)

    def _find(self, path: str) -> Prepare | None:
        """Return what prepares the requests of *path*; None if they take the ordinary path."""
        routes = self.fast_routes
        return routes.get(path) or routes.get(path[: path.rfind("/") + 1])

    def read(self, message: RawRequestMessage) -> PlainHead | None:
        """Return what the head of a request says; None if it is not plain."""
        prepare = self._find(message.path)
        if prepare is None or not self._is_plain(message):
            return None
        headers = message.headers
        return PlainHead(
            message,
            prepare,
            headers.get(hdrs.AUTHORIZATION),
            headers.get(API_KEY),
            request_head.request_id(message),
            request_head.traceparent(message),
            request_head.forwarded_for(message),
        )

    def take(self, connection: FastConnection, head: PlainHead, body: bytes) -> FastCall | None:
        """Return the call that is to be begun; None if the request is not plain."""
        authorization, api_key, identity = head.authorization, head.api_key, None
        if authorization or api_key:
            identity = self.authenticator.recall_headers(authorization, api_key)
        needed = authorization or api_key or self.settings.require_authentication
        if (needed and identity is None) or len(body) > UNCOUNTED_BYTES or self.draining.is_set():
            return None
        prepared = head.prepare(head.message, body)
        if prepared is None:
            return None
        return FastCall(self, prepared, connection, head, identity)

    def record_soon(self, call: FastCall, status: int, size: int, ended: float) -> None:
        """Record *call* in the next turn of the event loop, when its answer has left."""
        if not self._unrecorded:
            asyncio.get_running_loop().call_soon(self._record)
        self._unrecorded.append((call, status, size, ended))

    def _record(self) -> None:
        calls, self._unrecorded = self._unrecorded, []
        for call, status, size, ended in calls:
            call.record(status, size, ended)

    def _is_plain(self, message: RawRequestMessage) -> bool:
        """Return whether the head asks for nothing but an answer on the same connection."""
        if message.should_close or message.upgrade or message.version != HttpVersion11:
            return False
        headers = message.headers
        for name in _UNUSUAL:
            if name in headers:
                return False
        try:
            self.guard.check(headers.get(hdrs.HOST), None)
        except ForbiddenOrigin:
            return False
        return True
