"""KServe's protocol, version 1: :predict and :explain on the same models.

Each instance is an input of its own, so that it is batched with those of other requests.
"""

from typing import Any

import msgspec
from aiohttp import web

from sidecar.errors import InvalidFields, InvalidJson, SidecarError
from sidecar.routes.handler_requests import PARTS, options_of, read_body
from sidecar.routes.instances import request_of_instance
from sidecar.routes.own_predictions import answer_requests
from sidecar.routes.predictions import respond_to
from sidecar.scheduling.entry import Reply
from sidecar.scheduling.scheduler import InferenceRequest
from sidecar.schemas.torchserve import KServeExplanations, KServePredictions, KServeRequest
from sidecar.web.admission import ADMISSION, CALL
from sidecar.web.body import NOT_JSON, invalid_fields
from sidecar.web.route import Route, json_response

_request = msgspec.json.Decoder(KServeRequest)
FORMS = frozenset({"multipart/form-data", "application/x-www-form-urlencoded"})
STATUSES = (400, 401, 404, 413, 415, 422, 503, 504)


async def kserve_predict(request: web.Request) -> web.StreamResponse:
    """Answer each instance with what the model makes of it."""
    body = await read_body(request[ADMISSION])
    if _is_form(request, body):
        return await _respond_to_form(request, body, "predictions")
    return json_response(KServePredictions(await _run(request, body, "predictions")))


async def kserve_explain(request: web.Request) -> web.StreamResponse:
    """Answer each instance with the handler's explanation of it."""
    body = await read_body(request[ADMISSION])
    if _is_form(request, body):
        return await _respond_to_form(request, body, "explanations")
    return json_response(KServeExplanations(await _run(request, body, "explanations")))


def _is_form(request: web.Request, body: bytes) -> bool:
    """Return whether *body* is a form; curl calls JSON a form too, unless it is told otherwise."""
    return request.content_type in FORMS and not body.lstrip().startswith(b"{")


async def _respond_to_form(request: web.Request, body: bytes, api: str) -> web.StreamResponse:
    """Answer as the handler does: the fields of a form are those of its row, as in TorchServe."""
    name = request.match_info["name"]
    return await respond_to(request, body, name, lambda model: f"/{api}/{model.key}")


async def _run(request: web.Request, body: bytes, api: str) -> list[msgspec.Raw]:
    """Return the result of each instance.  Raises the first error of any."""
    admission, call, name = request[ADMISSION], request[CALL], request.match_info["name"]
    instances = _instances(body, admission.settings.max_inputs)
    parts = request.app[PARTS]
    model = parts.models.require(name)
    options = options_of(request, model)
    call.inputs = len(instances)
    await admission.admit_to_model(model.key, name)
    replies: list[Reply | SidecarError]
    if model.spec.is_own:
        path = f"/{api}/{model.key}"
        requests = [request_of_instance(path, each) for each in instances]
        replies = await answer_requests(parts.scheduler, model, requests, options)
    elif model.spec.speaks_or_listens:
        replies = await parts.speech_predictions.run(admission, model, instances, options)
    else:
        replies = await parts.scheduler.run(InferenceRequest(model.key, instances, *options))
    for reply in replies:
        if isinstance(reply, SidecarError):
            raise reply
    call.success = True
    return [msgspec.Raw(reply.body) for reply in replies if isinstance(reply, Reply)]


def _instances(body: bytes, limit: int) -> list[bytes]:
    try:
        asked = _request.decode(body)
    except msgspec.ValidationError as exc:
        raise invalid_fields(exc, KServeRequest) from exc
    except NOT_JSON as exc:
        raise InvalidJson(str(exc), field="body") from exc
    if not 0 < len(asked.instances) <= limit:
        raise InvalidFields(f"expected 1 to {limit}", field="instances")
    return [bytes(each) for each in asked.instances]


_OF_MODELS: dict[str, Any] = {
    "request": KServeRequest,
    "statuses": STATUSES,
    "credential": "optional",
    "measured_as": "inference",
    "example": {"instances": [[1, 2, 3], [4, 5, 6]]},
    "also": ("PUT",),  # of `curl -T`, as TorchServe takes it
}
ROUTES = [
    Route(
        "POST",
        "/v1/models/{name}:predict",
        kserve_predict,
        "KServe's predictions",
        response=KServePredictions,
        **_OF_MODELS,
    ),
    Route(
        "POST",
        "/v1/models/{name}:explain",
        kserve_explain,
        "KServe's explanations",
        response=KServeExplanations,
        **_OF_MODELS,
    ),
]
