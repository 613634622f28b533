"""One gRPC call: its id, credential, limits and log line, and its error as a gRPC status.

A call passes the same checks as an HTTP request (`sidecar.web.admission`).  They need only its
metadata and the client's address.
"""

import ipaddress
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn
from urllib.parse import unquote

import grpc
from google.protobuf.message import DecodeError, Message
from multidict import CIMultiDict, CIMultiDictProxy

from sidecar.errors import InvalidBody, SidecarError, exhaustion
from sidecar.rpc.calls import CallsInProgress
from sidecar.rpc.receipts import Receipts
from sidecar.telemetry.request_id import REQUEST_ID
from sidecar.telemetry.statistics import InferenceCall
from sidecar.web import request_head
from sidecar.web.accounting import RequestAccounting
from sidecar.web.admission import Admission, AdmissionControl
from sidecar.web.error_forms import Fault
from sidecar.web.route import Route

if TYPE_CHECKING:  # it imports OpenTelemetry, which is loaded only if tracing is on
    from sidecar.web.traced import RequestTracing

log = logging.getLogger(__name__)

SERVICE = "inference.GRPCInferenceService"
INTERNAL = "Internal server error"
MAX_ERROR_LENGTH = 500  # characters; encoded, they fit into the 8 KiB of metadata clients accept
Code = grpc.StatusCode
_CODES: Mapping[int, grpc.StatusCode] = MappingProxyType(
    {
        401: Code.UNAUTHENTICATED,
        403: Code.PERMISSION_DENIED,
        404: Code.NOT_FOUND,
        408: Code.DEADLINE_EXCEEDED,
        409: Code.FAILED_PRECONDITION,
        413: Code.RESOURCE_EXHAUSTED,
        429: Code.RESOURCE_EXHAUSTED,
        503: Code.UNAVAILABLE,
        504: Code.DEADLINE_EXCEEDED,
    }
)


class CallHead:
    """What admission needs of a call: its metadata, as headers, and the client's address."""

    def __init__(self, context: "grpc.aio.ServicerContext[Any, Any]") -> None:
        self.headers = CIMultiDictProxy(
            CIMultiDict(
                (key, value)
                for key, value in context.invocation_metadata() or ()
                if isinstance(value, str)
            )
        )
        self.remote = _address(context.peer())

    def get(self, _: object) -> None:
        """Return None: a call stores nothing, unlike a request of aiohttp."""

    def as_request(self) -> Any:
        """Return this head for code that expects a request and reads only its head."""
        return self


class CallInProgress(NamedTuple):
    """An admitted call.  *seconds_left* is the time until its deadline; None if it has none."""

    admission: Admission
    inference: InferenceCall
    head: CallHead
    seconds_left: float | None


class RpcMethod(NamedTuple):
    """A method of the service: *route* says who may call it, *run* does the work."""

    name: str
    request: type[Message]
    run: Callable[[CallInProgress, Any], Awaitable[Message]]
    route: Route


@dataclass(frozen=True, slots=True)
class CallParts:
    """What every call works with."""

    admission: AdmissionControl
    accounting: RequestAccounting
    calls: CallsInProgress
    request_tracing: "RequestTracing | None"


class CallHandlers:
    """Admits calls, and answers each exactly once."""

    def __init__(self, parts: CallParts) -> None:
        self._parts = parts
        self._receipts = Receipts(parts.admission.settings)

    def handler_of(self, method: RpcMethod) -> "grpc.RpcMethodHandler[Any, Any]":
        """Return the handler that gRPC calls for *method*.

        It is registered as a method that takes a stream, so that it reads the one message itself:
        no message is received before the client's credential has been checked.
        """

        async def serve(messages: AsyncIterator[bytes], context: Any) -> bytes:
            return await self._serve(method, messages, context)

        async def serve_in_span(messages: AsyncIterator[bytes], context: Any) -> bytes:
            assert tracing is not None
            with tracing.call(SERVICE, method.name, CallHead(context)) as span:
                try:
                    return await self._serve(method, messages, context)
                finally:
                    span.set_attribute("rpc.grpc.status_code", _number(context.code()))

        if (tracing := self._parts.request_tracing) is not None:
            return grpc.stream_unary_rpc_method_handler(serve_in_span)
        return grpc.stream_unary_rpc_method_handler(serve)

    async def _serve(
        self,
        method: RpcMethod,
        messages: AsyncIterator[bytes],
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> bytes:
        began, parts, head = time.perf_counter(), self._parts, CallHead(context)
        request_id = request_head.request_id(head.as_request()) or request_head.new_request_id()
        mark = REQUEST_ID.set(request_id)
        rules = parts.admission.rules(method.route)
        admission = parts.admission.new_admission(parts.admission, head.as_request(), rules)
        status: int | None = None  # None: the client has left
        answer = b""
        try:
            with parts.calls.one_more():
                await context.send_initial_metadata((("x-request-id", request_id),))
                answer = await self._measured(method, admission, head, messages, context)
                status = 200
                return answer
        except SidecarError as exc:
            status = exc.status
            parts.accounting.count_refusal(exc)
            await _refuse(context, exc)
        except Exception as exc:
            refusal = exhaustion(exc)
            if refusal is not None:
                status = refusal.status
                parts.accounting.count_refusal(refusal)
                await _refuse(context, refusal)
            status = 500
            log.exception("unhandled error: %s", method.route.path)
            await context.abort(Code.INTERNAL, INTERNAL)
        finally:
            parts.accounting.record(
                "GRPC",
                method.route.path,
                status,
                time.perf_counter() - began,
                admission.identity,
                len(answer),
                request_id,
            )
            REQUEST_ID.reset(mark)

    async def _measured(
        self,
        method: RpcMethod,
        admission: Admission,
        head: CallHead,
        messages: AsyncIterator[bytes],
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> bytes:
        route = method.route
        with self._parts.admission.measurement.measuring(
            route.path, route.measured_as
        ) as inference:
            async with admission:
                await admission.check_head()
                await admission.accept_token(None)  # the protocol's messages have no such field
                data = await self._receipts.receive(admission.client, messages)
                request = method.request()
                try:
                    request.ParseFromString(data)
                except DecodeError as exc:
                    expected = f"expected a message of type {method.request.DESCRIPTOR.name}"
                    raise InvalidBody(expected, field="body") from exc
                call = CallInProgress(admission, inference, head, context.time_remaining())
                answer = await method.run(call, request)
                inference.success = True
                return answer.SerializeToString()


async def _refuse(context: "grpc.aio.ServicerContext[Any, Any]", exc: SidecarError) -> NoReturn:
    """End the call with the gRPC status of *exc*."""
    default = Code.INVALID_ARGUMENT if exc.status < 500 else Code.INTERNAL
    fault = Fault.of(exc)
    sentence = f"{fault.error} ({fault.detail})" if fault.field else fault.error
    headers = tuple((name.lower(), value) for name, value in exc.headers.items())
    await context.abort(_CODES.get(exc.status, default), sentence[:MAX_ERROR_LENGTH], headers)


def _number(code: Any) -> int:
    """Return the number of a status.  A call without a status has succeeded."""
    return int(code.value[0]) if isinstance(code, grpc.StatusCode) else int(code or 0)


def _address(peer: str) -> str | None:
    """Return the IP address in *peer*, such as ``ipv4:127.0.0.1:5000`` or ``ipv6:[::1]:5000``."""
    host = unquote(peer).partition(":")[2].rpartition(":")[0].strip("[]")
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None
