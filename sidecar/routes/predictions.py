"""TorchServe's inference API: /predictions, /explanations and /ping, for its clients."""

import base64
from collections.abc import Callable
from typing import Any, Literal
from urllib.parse import quote

import msgspec
from aiohttp import hdrs, web
from multidict import istr

from sidecar.errors import ForbiddenOrigin, InvalidInput, InvalidJson, SidecarError
from sidecar.models.model import Model
from sidecar.routes.handler_requests import (
    PARTS,
    answer,
    options_of,
    read_body,
)
from sidecar.scheduling.scheduler import InferenceRequest
from sidecar.schemas.torchserve import Ping
from sidecar.web.admission import ADMISSION, CALL
from sidecar.web.body import NOT_JSON
from sidecar.web.route import Route

FETCHED_BY = istr("Sec-Fetch-Site")
_raw = msgspec.json.Decoder(msgspec.Raw)
_encode = msgspec.json.Encoder().encode
OF_A_HANDLER: dict[str, Any] = {
    "request": msgspec.Raw,
    "response": msgspec.Raw,
    "other_media": ("*/*",),
    "statuses": (400, 401, 404, 413, 415, 422, 503, 504),
    "credential": "optional",
    "measured_as": "inference",
    "example": [1, 2, 3, 4, 5],
    "also": ("PUT",),  # of `curl -T`: TorchServe looks at no method
}
_OF_TORCHSERVE: dict[str, Any] = OF_A_HANDLER | {"also": ("PUT", "GET"), "may_end_in_slash": True}


async def predictions(request: web.Request) -> web.StreamResponse:
    """Answer with what the model's handler makes of the body."""
    return await _run(request, "predictions")


async def predictions_of_version(request: web.Request) -> web.StreamResponse:
    """Answer with what the handler of this version makes of the body."""
    return await _run(request, "predictions")


async def predictions_at_url_path(request: web.Request) -> web.StreamResponse:
    """Answer as one version does; its handler finds the rest of the path in `url_path`."""
    return await _run(request, "predictions")


async def explanations(request: web.Request) -> web.StreamResponse:
    """Answer with the handler's explanation of the body."""
    return await _run(request, "explanations")


async def explanations_of_version(request: web.Request) -> web.StreamResponse:
    """Answer with what the handler of this version explains."""
    return await _run(request, "explanations")


async def _run(
    request: web.Request, api: Literal["predictions", "explanations"]
) -> web.StreamResponse:
    refuse_foreign_page(request)
    place = request.match_info
    behind = "".join(f"/{quote(place[part])}" for part in ("version", "url_path") if part in place)
    return await respond(request, place["name"], lambda model: f"/{api}/{model.key}{behind}")


def refuse_foreign_page(request: web.Request) -> None:
    """Raise ForbiddenOrigin for a GET from a page elsewhere: it comes without an `Origin`."""
    fetched_by = request.headers.get(FETCHED_BY, "none")
    if request.method == hdrs.METH_GET and fetched_by not in ("none", "same-origin"):
        raise ForbiddenOrigin(
            "a page elsewhere may not ask for predictions", field="Sec-Fetch-Site"
        )


async def respond(
    request: web.Request, name: str, path_of: Callable[[Model], str]
) -> web.StreamResponse:
    """Answer the whole request from the model that is called *name*.

    *path_of* gives TorchServe's path for it.  For a model whose handler is ours the body is one
    input, and the answer its result.
    """
    return await respond_to(request, await read_body(request[ADMISSION]), name, path_of)


async def respond_to(
    request: web.Request, body: bytes, name: str, path_of: Callable[[Model], str]
) -> web.StreamResponse:
    """Answer the request, whose *body* has been read, as `respond` does."""
    call = request[CALL]
    model = request.app[PARTS].models.require(name)
    call.inputs = 1
    if model.spec.is_own:
        response = await answer(request, model, name, path_of(model), body)
    else:
        response = await _answer_of_ours(request, model, name, body)
    call.success = response.status < 400
    return response


async def _answer_of_ours(
    request: web.Request, model: Model, name: str, body: bytes
) -> web.StreamResponse:
    parts, admission, options = request.app[PARTS], request[ADMISSION], options_of(request, model)
    given = as_json(body, request.content_type)
    if (named := request.match_info.get("version")) is not None:
        version = await parts.versions.beside_default(model, named)
        options = options._replace(version=version, alone=version is not None)
    await admission.admit_to_model(model.key, name)
    if model.spec.speaks_or_listens:
        (reply,) = await parts.speech_predictions.run(admission, model, [given], options)
    else:
        (reply,) = await parts.scheduler.run(InferenceRequest(model.key, [given], *options))
    if isinstance(reply, SidecarError):
        raise reply
    return web.Response(body=reply.body, headers={hdrs.CONTENT_TYPE: "application/json"})


def as_json(body: bytes, media_type: str) -> bytes:
    """Return *body* as one input of /predict: JSON, a text, or a data URI.

    Raises InvalidJson and InvalidInput.
    """
    if media_type.startswith("text/"):
        try:
            return _encode(body.decode())
        except UnicodeDecodeError as exc:
            raise InvalidInput("expected UTF-8", field="body") from exc
    if media_type.startswith(("image/", "audio/")):
        return _encode(f"data:{media_type};base64,{base64.b64encode(body).decode()}")
    try:
        return bytes(_raw.decode(body))
    except NOT_JSON as exc:
        raise InvalidJson(str(exc), field="body") from exc


async def ping(request: web.Request) -> web.Response:
    """Answer as TorchServe's /ping does: 200 while it runs and every model that is wanted loads."""
    parts = request.app[PARTS]
    healthy = parts.reconciler.settled and not parts.draining.is_set()
    body = msgspec.json.format(_encode(Ping("Healthy" if healthy else "Unhealthy")), indent=2)
    return web.Response(
        body=body + b"\n",
        status=200 if healthy else 500,
        headers={hdrs.CONTENT_TYPE: "application/json"},
    )


async def ping_by_other_methods(request: web.Request) -> web.Response:
    """Answer what GET answers, as TorchServe does."""
    return await ping(request)


ROUTES = [
    Route(
        "POST",
        "/predictions/{name}",
        predictions,
        "TorchServe's predictions: any body, the handler's answer",
        **_OF_TORCHSERVE,
    ),
    Route(
        "POST",
        "/predictions/{name}/{version}",
        predictions_of_version,
        "TorchServe's predictions by one version",
        **_OF_TORCHSERVE,
    ),
    Route(
        "POST",
        "/predictions/{name}/{version}/{url_path}",
        predictions_at_url_path,
        "The same, with a path for the handler to read",
        open_ended=True,
        **_OF_TORCHSERVE,
    ),
    Route(
        "POST",
        "/explanations/{name}",
        explanations,
        "TorchServe's explanations",
        **_OF_TORCHSERVE,
    ),
    Route(
        "POST",
        "/explanations/{name}/{version}",
        explanations_of_version,
        "TorchServe's explanations by one version",
        **_OF_TORCHSERVE,
    ),
    Route(
        "GET",
        "/ping",
        ping,
        "TorchServe's health check",
        response=Ping,
        limited=False,
        prompt=True,
    ),
    Route(
        "OPTIONS",
        "/ping",
        ping_by_other_methods,
        "The same: TorchServe looks at no method",
        response=Ping,
        limited=False,
        prompt=True,
        also=("POST", "PUT"),
    ),
]
