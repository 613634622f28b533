"""What surrounds every request: its id, the Host and Origin check, and error answers.

And what surrounds the handler of every route: its door (`admission`), and its measurement.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

from aiohttp import hdrs, web

from sidecar.access.origins import OriginGuard
from sidecar.errors import Draining, SidecarError, exhaustion
from sidecar.settings import Settings
from sidecar.telemetry.request_id import REQUEST_ID
from sidecar.web import request_head
from sidecar.web.accounting import RequestAccounting
from sidecar.web.admission import ADMISSION, CALL, AdmissionControl
from sidecar.web.answer_head import fixed_headers
from sidecar.web.error_forms import FORM, Fault, form_of
from sidecar.web.fast_path import FastPath
from sidecar.web.route import Handler, Route

log = logging.getLogger(__name__)

NO_ROUTE = "unknown"
_INTERNAL = Fault(500, "Internal server error", HTTPStatus(500).phrase)
_SERVING = web.RequestKey("serving", asyncio.Task[Any])  # what runs its handler
_OUT_OF_TIME = web.RequestKey("out_of_time", bool)  # the server stops before it is done


class OpenConnections(Protocol):
    """The connections of one port, as far as others count them."""

    def __len__(self) -> int:
        """Return how many are open."""

    @property
    def stalled(self) -> int:
        """How many clients are not reading their answers at present."""


@dataclass(frozen=True, slots=True)
class ServerContext:
    """What every request and every connection shares.

    *draining* is set when the server is leaving: each answer closes its connection then.
    *listeners* has one for each port that is served.
    """

    settings: Settings
    guard: OriginGuard
    accounting: RequestAccounting
    fast_path: FastPath | None  # None: this port has none of its routes
    draining: asyncio.Event
    listeners: list[OpenConnections]


SERVER = web.AppKey("server", ServerContext)


@web.middleware
async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Run *handler*, and turn whatever it raises into an error answer of the common format."""
    began, response = time.perf_counter(), None
    mark = REQUEST_ID.set(_request_id(request))
    if (task := asyncio.current_task()) is not None:
        request[_SERVING] = task
    try:
        response = await _guarded(request, handler)
        if not response.prepared:
            stamp(request, response)
        return response
    finally:
        _record(request, response, began)
        REQUEST_ID.reset(mark)


def guarded(control: AdmissionControl, route: Route) -> Handler:
    """Return the handler of *route* behind the door that every route has.

    Requests that the door refuses are measured too.
    """
    handler, rules = route.handler, control.rules(route)

    async def admit(request: web.Request) -> web.StreamResponse:
        with control.measurement.measuring(route.path, route.measured_as) as request[CALL]:
            admission = request[ADMISSION] = control.new_admission(control, request, rules)
            async with admission:
                await admission.check_head()
                return await handler(request)

    return admit


def _record(request: web.Request, response: web.StreamResponse | None, began: float) -> None:
    """Count and log the request.  Without a response, the client left before there was one."""
    accounting, route = request.app[SERVER].accounting, route_of(request)
    status, size, seconds = None, None, time.perf_counter() - began
    admission = request.get(ADMISSION)
    identity = None if admission is None else admission.identity
    if response is not None:
        status = response.status
        size = response.body_length if response.prepared else response.content_length
    accounting.record(request.method, route, status, seconds, identity, size, REQUEST_ID.get())


def route_of(request: web.Request) -> str:
    """Return the path as the route declares it, not as the client wrote it."""
    resource = request.match_info.route.resource
    return (resource.canonical.rstrip("/") or "/") if resource else NO_ROUTE


def refuse_unserved(request: web.Request) -> None:
    """Make the request that is being served answer 503, whatever it waits for."""
    if _OUT_OF_TIME not in request and (task := request.get(_SERVING)) is not None:
        request[_OUT_OF_TIME] = True
        task.cancel()


def refuse_unrouted(
    server: ServerContext, request: web.BaseRequest, exc: SidecarError
) -> web.Response:
    """Return the answer to a request that reached no route, stamped, counted and logged."""
    response, request_id = error_response(request, Fault.of(exc), exc.headers), _request_id(request)
    for name, value in reversed(fixed_headers(request_id).items()):  # the order that clients know
        response.headers[name] = value
    response.force_close()  # what follows on the connection cannot be trusted
    size = response.content_length
    server.accounting.record(request.method, NO_ROUTE, exc.status, 0.0, None, size, request_id)
    return response


async def begin_stream(request: web.Request, response: web.StreamResponse) -> None:
    """Send the head of a streamed answer."""
    stamp(request, response)
    if request.app[SERVER].draining.is_set():
        response.force_close()
    await response.prepare(request)


def stamp(request: web.Request, response: web.StreamResponse) -> None:
    """Set the headers that every answer has, and those that depend on the request.

    `begin_stream` does it for a stream.
    """
    response.headers.update(fixed_headers(REQUEST_ID.get() or _request_id(request)))
    if (admission := request.get(ADMISSION)) is not None and admission.quota is not None:
        response.headers.update(admission.quota.headers())
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is not None and request.app[SERVER].guard.is_foreign(origin):
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = "Inference-Header-Content-Length"
        response.headers[hdrs.VARY] = hdrs.ORIGIN


async def _guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    headers = request.headers
    try:
        request.app[SERVER].guard.check(headers.get(hdrs.HOST), headers.get(hdrs.ORIGIN))
        if not request.raw_path.isascii():  # the rare case
            request_head.check_target(request)
        if hdrs.ACCESS_CONTROL_REQUEST_METHOD in headers and request.method == hdrs.METH_OPTIONS:
            return _preflight()
        return await handler(request)
    except SidecarError as exc:
        return _refusal(request, exc)
    except web.HTTPError as exc:
        if exc.status >= 500:
            log.exception(
                "%s %s was answered with %d", request.method, route_of(request), exc.status
            )
        return _http_error(request, exc)
    except web.HTTPException:
        raise
    except asyncio.CancelledError:
        if _OUT_OF_TIME not in request:
            raise
        request[_SERVING].uncancel()
        return _refusal(request, Draining("the server is shutting down", retry_after=5))
    except Exception as exc:  # noqa: BLE001 - `_failure` logs it
        return _failure(request, exc)


def _failure(request: web.Request, exc: Exception) -> web.Response:
    """Answer an exception that no handler foresaw: an exhausted machine, or a bug of our own."""
    if (refusal := exhaustion(exc)) is not None:
        log.warning("%s %s: refused: %r", request.method, route_of(request), exc)
        return _refusal(request, refusal)
    log.error("unhandled error: %s %s", request.method, route_of(request), exc_info=exc)
    return error_response(request, _INTERNAL)


def error_response(
    request: web.BaseRequest, fault: Fault, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return an error in the form that the clients of this route read."""
    form = form_of(request.path)
    if isinstance(request, web.Request) and _SERVING in request:  # it has reached an application
        form = request.app.get(FORM, form)
    return web.Response(
        body=form.encode(fault),
        status=form.status(fault.status),
        headers={hdrs.CONTENT_TYPE: "application/json", **(headers or {})},
    )


def fault_of(request: web.Request, exc: SidecarError) -> Fault:
    """Return what *exc* tells, its field called as the client of *request* calls it."""
    admission = request.get(ADMISSION)
    return Fault.of(exc) if admission is None else Fault.of(exc, admission.field_names)


def _refusal(request: web.Request, exc: SidecarError) -> web.Response:
    request.app[SERVER].accounting.count_refusal(exc)
    return error_response(request, fault_of(request, exc), exc.headers)


def _http_error(request: web.Request, exc: web.HTTPError) -> web.Response:
    """Return aiohttp's own 404, 405 or 400 with our body and its headers."""
    allowed = exc.headers.get(hdrs.ALLOW)
    headers = {str(hdrs.ALLOW): allowed} if allowed else None
    field, rule = ("method", f"this route has {allowed}") if allowed else ("path", exc.reason)
    return error_response(request, Fault(exc.status, exc.reason, rule, field), headers)


def _preflight() -> web.Response:
    return web.Response(
        status=204,
        headers={
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, POST, PUT, DELETE",
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: (
                "Authorization, Content-Type, X-API-Key, Inference-Header-Content-Length"
            ),
            hdrs.ACCESS_CONTROL_MAX_AGE: "600",
        },
    )


def _request_id(request: web.BaseRequest) -> str:
    """Return the id that the client sent if it is valid, else a new one."""
    return request_head.request_id(request) or request_head.new_request_id()
