"""POST /predict for a model with a custom handler: each input is a request of its own."""

import base64
import binascii
from collections.abc import Sequence
from urllib.parse import quote

import msgspec

from sidecar.errors import (
    HandlerRefused,
    InvalidInput,
    OutOfMemory,
    RequestTimedOut,
    SidecarError,
    Unavailable,
)
from sidecar.models.model import Model
from sidecar.routes.handler_answers import BYTES, ShownAnswers
from sidecar.routes.handler_requests import leave
from sidecar.scheduling.entry import Body, Forwarded, Reply
from sidecar.scheduling.scheduler import InferenceRequest, Scheduler, SchedulingOptions
from sidecar.torchserve.forwarding import ForwardedRequest

MAX_TOLD = 500  # characters of what a handler says of its refusal
_text = msgspec.json.Decoder(str)


class _Bytes(msgspec.Struct, forbid_unknown_fields=True):
    """An input of bytes: ``{"data": "<base64>"}``."""

    data: str


class _Said(msgspec.Struct):
    """An error as handlers, and TorchServe, write it."""

    message: str = ""
    error: str = ""


_bytes = msgspec.json.Decoder(_Bytes)
_said = msgspec.json.Decoder(_Said)


async def predict_own(
    scheduler: Scheduler,
    model: Model,
    bodies: Sequence[Body],
    options: SchedulingOptions,
) -> list[Reply | SidecarError]:
    """Return the reply of each input, or why it has none, in order.

    Raises RequestTimedOut, QueueFull, ModelNotReady or EngineUnavailable.
    """
    path = _prediction_path(model, options.version)
    requests = [request_of(path, bytes(body)) for body in bodies]
    return await answer_requests(scheduler, model, requests, options)


async def answer_requests(
    scheduler: Scheduler,
    model: Model,
    requests: Sequence[ForwardedRequest | SidecarError],
    options: SchedulingOptions,
) -> list[Reply | SidecarError]:
    """Return the reply of each request, or why it has none, in order.

    Raises RequestTimedOut, QueueFull, ModelNotReady or EngineUnavailable.
    """
    sent = [each for each in requests if isinstance(each, ForwardedRequest)]
    pending = scheduler.start(InferenceRequest(model.key, sent, *options))
    device, answers = device_of(model), ShownAnswers()
    try:
        entries = iter(pending.entries)
        outcomes: list[Reply | SidecarError] = []
        for each in requests:
            if isinstance(each, SidecarError):
                outcomes.append(each)
                continue
            try:
                reply = await next(entries).reply
                assert isinstance(reply, Forwarded), "an own model's runner answers so"
                outcomes.append(await _reply(reply, device, answers))
            except RequestTimedOut:
                raise
            except SidecarError as exc:
                outcomes.append(exc)
        return outcomes
    finally:
        leave(pending)


def _prediction_path(model: Model, version: str | None) -> str:
    """Return TorchServe's path for *version* of *model*; None stands for the default."""
    path = f"/predictions/{model.key}"
    return path if version is None else f"{path}/{quote(version)}"


def device_of(model: Model) -> str:
    """Return the device of the model, as TorchServe reports it for the workers."""
    return "cuda" if any(worker.gpu for worker in model.workers) else "cpu"


def request_of(path: str, body: bytes) -> ForwardedRequest | SidecarError:
    """Return one input as TorchServe gets it: JSON as it is, or the bytes that it stands for.

    A data URI stands for bytes of its type, and an object with the field `data` alone for bytes.
    """
    try:
        media_type, content = _content(body)
    except (ValueError, binascii.Error):
        return InvalidInput("expected base64 in the data URI, or in the field data", field="inputs")
    return ForwardedRequest(path, [("Content-Type", media_type)], content)


def _content(body: bytes) -> tuple[str, bytes]:
    """Return the content type and the bytes of an input.  Raises ValueError."""
    if body.startswith(b'"data:'):
        head, comma, data = _text.decode(body).partition(",")
        if not comma or not head.endswith(";base64"):
            raise ValueError
        if not (head.isascii() and head.isprintable()):  # it becomes a header: no line breaks
            raise ValueError
        media_type = head.removeprefix("data:").removesuffix(";base64")
        return media_type or BYTES, base64.b64decode(data, validate=True)
    if body.startswith(b"{"):
        try:
            given = _bytes.decode(body)
        except msgspec.ValidationError:
            return "application/json", body
        return BYTES, base64.b64decode(given.data, validate=True)
    return "application/json", body


async def _reply(reply: Forwarded, device: str, answers: ShownAnswers) -> Reply:
    """Return the handler's response as *answers* show it.  Raises what the handler refused."""
    body = reply.body
    if reply.pieces is not None:
        body = b"".join([piece async for piece in reply.pieces])
    if reply.status >= 400:
        raise _refusal(reply.status, body)
    headers = {name.lower(): value for name, value in reply.headers}
    return Reply(
        await answers.show(body, headers),
        device=device,
        forward_pass=1,
        job=reply.job,
        worker=0,
    )


def _refusal(status: int, body: bytes) -> SidecarError:
    told = _told(body)[:MAX_TOLD]
    if status == 507:
        return OutOfMemory("try fewer or smaller ones", field="inputs")
    if status == 503:
        return Unavailable(f"{told}", field="inputs")
    return HandlerRefused(status, told)


def _told(body: bytes) -> str:
    """Return the sentence in an answer that is an error, or else its text."""
    try:
        said = _said.decode(body)
        return said.message or said.error or body.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body.decode("utf-8", "replace")
