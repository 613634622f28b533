"""POST /predict: any model of the catalog, one input or a batch."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec
from aiohttp import web

from sidecar.caching.result_cache import Origin, ResultCache
from sidecar.errors import HandlerRefused, InvalidInput, SidecarError
from sidecar.models.model import Model
from sidecar.models.registry import ModelRegistry
from sidecar.models.versions import ModelVersions
from sidecar.routes.inputs import split_inputs
from sidecar.routes.own_predictions import predict_own
from sidecar.routes.results import Predicted, SpeechRunner, cached, result_key, within
from sidecar.scheduling.entry import Body, Reply
from sidecar.scheduling.scheduler import InferenceRequest, Scheduler, SchedulingOptions
from sidecar.schemas.predict import (
    BatchInfo,
    ModelInfo,
    PredictRequest,
    PredictResponse,
)
from sidecar.settings import Settings
from sidecar.web import request_head
from sidecar.web.admission import ADMISSION, CALL, Admission
from sidecar.web.body import read_json
from sidecar.web.route import Route, json_response
from sidecar.web.turns import take_break

_request = msgspec.json.Decoder(PredictRequest)
_encode = msgspec.json.Encoder().encode


class PredictCall(NamedTuple):
    """A checked request.

    *name* is what the client called *model*; *inputs* is the field of that name, cut into
    *bodies*, one JSON text for each input.  Nothing here keeps the request's whole body alive.
    """

    name: str
    model: Model
    inputs: bytes
    bodies: Sequence[Body]
    is_batch: bool
    scheduling: SchedulingOptions


@dataclass(frozen=True, slots=True)
class PredictParts:
    """The parts that run models, or keep earlier results."""

    settings: Settings
    models: ModelRegistry
    scheduler: Scheduler
    speech_predictions: SpeechRunner
    results: ResultCache
    versions: ModelVersions


PARTS = web.AppKey("predict", PredictParts)


async def predict(request: web.Request) -> web.Response:
    """Run one request."""
    parts, admission, call = request.app[PARTS], request[ADMISSION], request[CALL]
    asked = await _checked(await read_json(admission, _request), request, parts, call.arrived)
    call.inputs = len(asked.bodies)
    predicted, origin = await predicted_replies(admission, asked, parts)
    result = _result(predicted.replies, asked.is_batch)
    call.success = True
    taken = time.monotonic() - call.arrived
    return json_response(_answer(asked, predicted.replies, origin, result, taken))


async def _checked(
    asked: PredictRequest, request: web.Request, parts: PredictParts, began: float
) -> PredictCall:
    """Return the request, checked.  Raises errors of status 400, 404 or 422."""
    model = parts.models.find(asked.model_name)
    rank = model.spec.input_rank if model else 1
    inputs = bytes(asked.inputs)
    await take_break(len(inputs))
    bodies, is_batch = split_inputs(inputs, rank=rank, limit=parts.settings.max_inputs)
    if model is None:
        model = parts.models.require(asked.model_name)  # which says why there is none
    version = asked.version and await parts.versions.beside_default(model, asked.version)
    await take_break(len(inputs))
    scheduling = SchedulingOptions(
        asked.priority,
        asked.timeout,
        began,
        not asked.enable_batching or version is not None,
        request_head.traceparent(request),
        version,
    )
    return PredictCall(asked.model_name, model, inputs, bodies, is_batch, scheduling)


async def predicted_replies(
    admission: Admission, asked: PredictCall, parts: PredictParts
) -> tuple[Predicted, Origin]:
    """Return the replies, and where they came from.

    Raises RequestTimedOut, and what `Admission.admit_to_model` and the scheduler raise.
    """

    async def compute() -> Predicted:
        await admission.admit_to_model(asked.model.key, asked.name)
        return await _run(admission, asked, parts)

    if not asked.model.spec.cache or asked.scheduling.alone:
        return await compute(), "computed"
    key = result_key(asked.model, asked.inputs)
    async with within(asked.scheduling):
        return await cached(parts.results, admission.request, key, compute, Predicted.complete)


async def _run(admission: Admission, asked: PredictCall, parts: PredictParts) -> Predicted:
    model, bodies, scheduling = asked.model, asked.bodies, asked.scheduling
    if model.spec.is_own:
        replies = await predict_own(parts.scheduler, model, bodies, scheduling)
    elif model.spec.speaks_or_listens:
        replies = await parts.speech_predictions.run(admission, model, bodies, scheduling)
    else:
        replies = await parts.scheduler.run(InferenceRequest(model.key, bodies, *scheduling))
    return Predicted(replies)


def _answer(
    asked: PredictCall,
    replies: Sequence[Reply | SidecarError],
    origin: Origin,
    result: msgspec.Raw,
    taken: float,
) -> PredictResponse:
    most = asked.model.spec.inference.max_batch_size
    return PredictResponse(
        True,
        result,
        round(taken, 6),
        _model_info(asked, replies, origin),
        _batch_info(asked, most, replies),
    )


def _result(replies: Sequence[Reply | SidecarError], is_batch: bool) -> msgspec.Raw:
    """Return the result as JSON.  Raises the most severe error if no input has a result."""
    errors = [reply for reply in replies if isinstance(reply, SidecarError)]
    if len(errors) == len(replies):
        worst = max(errors, key=lambda error: error.status)
        raise worst.with_traceback(None)
    if not is_batch:
        assert isinstance(replies[0], Reply)
        return msgspec.Raw(replies[0].body)
    parts = [reply.body if isinstance(reply, Reply) else _refused(reply) for reply in replies]
    return msgspec.Raw(b"[" + b",".join(parts) + b"]")


def _refused(error: SidecarError) -> bytes:
    message = error.message
    if isinstance(error, InvalidInput | HandlerRefused):
        message = error.rule if error.field == "inputs" else error.detail
    return _encode({"error": message})


def _model_info(
    asked: PredictCall, replies: Sequence[Reply | SidecarError], origin: Origin
) -> ModelInfo:
    answered = next(reply for reply in replies if isinstance(reply, Reply))
    return ModelInfo(
        asked.name,
        answered.device,
        "batch" if asked.is_batch else "single",
        len(replies),
        _version(asked, answered),
        _path(asked, origin),
    )


def _version(asked: PredictCall, answered: Reply) -> str:
    """Return which version answered; one whose handler says nothing of it is the one asked for."""
    chosen = answered.version or asked.scheduling.version
    return chosen or asked.model.version or asked.model.spec.version


def _path(
    asked: PredictCall, origin: Origin
) -> Literal["optimized", "direct", "cached", "coalesced"]:
    if origin != "computed":
        return origin
    return "direct" if asked.scheduling.alone else "optimized"


def _batch_info(
    asked: PredictCall, max_batch_size: int, replies: Sequence[Reply | SidecarError]
) -> BatchInfo:
    answered = [reply for reply in replies if isinstance(reply, Reply)]
    jobs = {(reply.job, reply.worker) for reply in answered}
    return BatchInfo(
        inflight_batching_enabled=not asked.scheduling.alone and max_batch_size > 1,
        processed_as_batch=asked.is_batch or any(reply.forward_pass > 1 for reply in answered),
        concurrent_optimization=len(jobs) > 1,
        failed_count=len(replies) - len(answered) or msgspec.UNSET,
    )


ROUTES = [
    Route(
        "POST",
        "/predict",
        predict,
        "Run a model on one input or a batch",
        response=PredictResponse,
        request=PredictRequest,
        statuses=(400, 401, 404, 413, 422, 500, 503, 504),
        credential="optional",
        example={"model_name": "example", "inputs": [1, 2, 3, 4, 5]},
        measured_as="inference",
    )
]
