"""A request to a model with a custom handler: in as it came, out as the handler made it.

TorchServe itself takes bodies apart, so multipart forms, text and pictures reach the handler as
they always did.  What stays here: who asks, how large, how urgent, and when.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import msgspec
from aiohttp import hdrs, web
from multidict import CIMultiDict, istr

from sidecar.errors import (
    InvalidFields,
    NotAuthenticated,
    SidecarError,
)
from sidecar.models.model import Model
from sidecar.models.reconciler import Reconciler
from sidecar.models.registry import ModelRegistry
from sidecar.models.stored_versions import StoredVersions
from sidecar.models.versions import ModelVersions
from sidecar.routes.results import SpeechRunner
from sidecar.scheduling.entry import Forwarded
from sidecar.scheduling.scheduler import (
    InferenceRequest,
    PendingRequest,
    Scheduler,
    SchedulingOptions,
)
from sidecar.schemas.priority import Priority
from sidecar.torchserve.forwarding import ForwardedRequest
from sidecar.web import request_head
from sidecar.web.admission import ADMISSION, CALL, Admission
from sidecar.web.answer_head import fixed_headers
from sidecar.web.body_reader import BodyReader
from sidecar.web.middleware import begin_stream

PRIORITY = istr("X-Priority")
TIMEOUT = istr("X-Timeout")
# Those of a connection, those that TorchServe gets from us, and credentials, which are ours alone.
NOT_FORWARDED = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "host",
        "expect",
        "content-length",
        "content-encoding",
        "authorization",
        "x-api-key",
    }
)
NOT_PASSED_ON = frozenset(
    {
        *(name.lower() for name in fixed_headers("")),
        "connection",
        "keep-alive",
        "transfer-encoding",
        "content-length",
        "date",
    }
)
VERSION_NOT_FOUND = b'"ModelVersionNotFoundException"'
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_number = msgspec.json.Decoder(Priority)


@dataclass(frozen=True, slots=True)
class HandlerParts:
    """What answers in TorchServe's place."""

    models: ModelRegistry
    scheduler: Scheduler
    speech_predictions: SpeechRunner
    reconciler: Reconciler
    versions: ModelVersions
    stored_versions: StoredVersions
    draining: asyncio.Event


PARTS = web.AppKey("handlers", HandlerParts)


async def read_body(admission: Admission) -> bytes:
    """Return the whole body; its credential can only be in a header.

    Raises, in this order: 401, 429, 413 or 503, 400.
    """
    if admission.needs_credential:
        raise NotAuthenticated
    await admission.accept_token(None)
    body = bytearray()
    with BodyReader(admission, admission.max_bytes) as reader:
        async for piece in reader.pieces():
            body += piece
    return bytes(body)


def options_of(request: web.Request, model: Model) -> SchedulingOptions:
    """Return how soon the request wants its answer, by its headers.  Raises InvalidFields."""
    longest = longest_wait(model, request[ADMISSION].settings.max_timeout_seconds)
    return SchedulingOptions(
        priority_of(request.headers),
        timeout_of(request.headers, longest),
        request[CALL].arrived,
        traceparent=request_head.traceparent(request),
    )


def longest_wait(model: Model, most: float) -> float:
    """Return how many seconds a request may wait for *model*: *most*, the operator's limit.

    A custom handler may take longer, if its archive says so: TorchServe has no other limit.
    """
    if not model.spec.is_own:
        return most
    return max(most, model.spec.inference.job_timeout_seconds)


def priority_of(headers: Mapping[str, str]) -> float:
    """Return how soon the request is to run, 0 to 10.  Raises InvalidFields."""
    given = headers.get(PRIORITY)
    if given is None:
        return 0
    try:
        return float(_number.decode(given))
    except (msgspec.DecodeError, UnicodeEncodeError):
        raise InvalidFields("expected a whole number from 0 to 10", field="X-Priority") from None


def timeout_of(headers: Mapping[str, str], longest: float) -> float:
    """Return the request's seconds, at most *longest*.  Raises InvalidFields."""
    given = headers.get(TIMEOUT)
    if given is None:
        return longest
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= longest:
        raise InvalidFields(
            f"expected more than 0 and at most {longest:g} seconds", field="X-Timeout"
        )
    return seconds


def forwarded_request(request: web.Request, path: str, body: bytes) -> ForwardedRequest:
    """Return what TorchServe gets of *request* at its own *path*; the query goes with it."""
    query = request.rel_url.raw_query_string
    headers = forwarded_headers(request.headers)
    return ForwardedRequest(f"{path}?{query}" if query else path, headers, body)


def forwarded_headers(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return those of a client's *headers* that TorchServe gets, each character a byte of it."""
    return [
        (name, value if value.isascii() else _as_bytes_came(value))
        for name, value in headers.items()
        if name.lower() not in NOT_FORWARDED and name.isascii() and _sendable(value)
    ]


def _sendable(text: str) -> bool:
    """Return whether *text* can be the value of a header: a tab is its only control character."""
    return text.isprintable() or not _CONTROL.search(text)


def _as_bytes_came(text: str) -> str:
    """Return a value that aiohttp has read as UTF-8 as Java reads it, in Latin-1."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


async def answer(
    request: web.Request, model: Model, name: str, path: str, body: bytes
) -> web.StreamResponse:
    """Return the response of *model*, which the client called *name*, to *body*.

    *path* is TorchServe's.  Raises 404, 422, 429, 503 and RequestTimedOut.
    """
    parts, options = request.app[PARTS], options_of(request, model)
    await request[ADMISSION].admit_to_model(model.key, name)
    options = options._replace(version=request.match_info.get("version"))
    asked = InferenceRequest(model.key, [forwarded_request(request, path, body)], *options)
    pending = parts.scheduler.start(asked)
    try:
        reply = await _reply(pending)
        if _lacks_version(reply) and await _load_version(request, model):
            pending = parts.scheduler.start(asked)
            reply = await _reply(pending)
        if reply.pieces is not None:
            return await _stream(request, reply, options.timeout)
        return _HandlerResponse(
            body=reply.body,
            status=reply.status,
            reason=reply.reason,
            headers=CIMultiDict(passed_on(reply.headers)),
        )
    finally:
        leave(pending)


async def _reply(pending: PendingRequest) -> Forwarded:
    reply = await pending.entries[0].reply
    assert isinstance(reply, Forwarded), "an own model's runner answers so"
    return reply


async def _load_version(request: web.Request, model: Model) -> bool:
    """Load the version that the path names, if the model store has it; return whether it has."""
    version = request.match_info.get("version")
    if version is None:
        return False
    return await request.app[PARTS].stored_versions.load(model, version)


def _lacks_version(reply: Forwarded) -> bool:
    """Return whether TorchServe says that it has no such version of the model."""
    return reply.status == HTTPStatus.NOT_FOUND and VERSION_NOT_FOUND in reply.body


def leave(pending: PendingRequest) -> None:
    """Stop waiting, and take no pieces of a streamed body any more."""
    for entry in pending.entries:
        done = entry.reply.done() and not entry.reply.cancelled() and not entry.reply.exception()
        reply = entry.reply.result() if done else None
        if isinstance(reply, Forwarded) and reply.pieces is not None:
            reply.pieces.leave()
    pending.close()


async def _stream(request: web.Request, reply: Forwarded, seconds: float) -> web.StreamResponse:
    """Send a body piece by piece; each may take as long as the whole time-out."""
    response = _HandlerStream(
        status=reply.status, reason=reply.reason, headers=CIMultiDict(passed_on(reply.headers))
    )
    assert reply.pieces is not None
    await begin_stream(request, response)
    while True:
        try:
            async with asyncio.timeout(seconds):
                piece = await anext(reply.pieces, None)
        except (TimeoutError, SidecarError):
            response.force_close()
            if request.transport is not None:
                request.transport.close()  # a body without an end is how HTTP says "cut short"
            return response
        if piece is None:
            await response.write_eof()
            return response
        await response.write(piece)


def passed_on(headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return those of a handler's *headers* that its client gets."""
    return [
        (name, value)
        for name, value in headers
        if name.lower() not in NOT_PASSED_ON and value.isprintable()
    ]


class _AsTheHandlerSaid(web.StreamResponse):
    """Return a response without the content type that aiohttp guesses if the handler named none."""

    async def _prepare_headers(self) -> None:
        named = hdrs.CONTENT_TYPE in self.headers
        await super()._prepare_headers()
        if not named:
            self.headers.popall(hdrs.CONTENT_TYPE, None)


class _HandlerResponse(_AsTheHandlerSaid, web.Response):
    """Return a whole answer."""


class _HandlerStream(_AsTheHandlerSaid):
    """Return an answer in pieces."""
