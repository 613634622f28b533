"""SageMaker's container protocol: /invocations, and one model of several at /models/…/invoke.

Its health check is GET /ping, which `predictions` has.
"""

import asyncio
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import hdrs, web
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from sidecar.errors import InvalidFields
from sidecar.models.model import Model
from sidecar.routes.handler_requests import PARTS, read_body
from sidecar.routes.predictions import OF_A_HANDLER, refuse_foreign_page, respond, respond_to
from sidecar.web.admission import ADMISSION
from sidecar.web.route import Route

MODEL = "model_name"
MAX_FIELDS = 1000  # of a form in which the model's name is looked for
MAX_NAME_BYTES = 256
QUICK_BYTES = 1 << 16  # of a form that is read at once; a larger one is read in a thread


async def invocations(request: web.Request) -> web.StreamResponse:
    """Answer from the model that the query names, or from the only one, or as a form says."""
    refuse_foreign_page(request)
    named = request.query.get(MODEL)
    body = await read_body(request[ADMISSION])
    name = named or _only_model(request) or await _named_in_form(request, body)
    if name is None:
        raise InvalidFields(
            "required in the query or in a form, because there are several models", field=MODEL
        )

    def path_of(model: Model) -> str:
        # TorchServe hands the query to the handler as inputs, and has to find the name in it.
        return "/invocations" if named == model.key else f"/predictions/{model.key}"

    return await respond_to(request, body, name, path_of)


async def invoke_model(request: web.Request) -> web.StreamResponse:
    """Answer from one of several models."""
    refuse_foreign_page(request)
    return await respond(
        request, request.match_info["name"], lambda model: f"/models/{model.key}/invoke"
    )


def _only_model(request: web.Request) -> str | None:
    """Return the only model with a custom handler, or else the only model; None among several."""
    enabled = request.app[PARTS].models.enabled
    own = [model.key for model in enabled if model.spec.is_own]
    names = own or [model.key for model in enabled]
    return names[0] if len(names) == 1 else None


async def _named_in_form(request: web.Request, body: bytes) -> str | None:
    """Return the model that *body* names in a field, if it is a form that does."""
    media_type = request.headers.get(hdrs.CONTENT_TYPE, "")
    if len(body) <= QUICK_BYTES:
        return _name_in_form(body, media_type)
    return await asyncio.to_thread(_name_in_form, body, media_type)


def _name_in_form(body: bytes, media_type: str) -> str | None:
    kind, options = parse_options_header(media_type)
    try:
        if kind == "application/x-www-form-urlencoded":
            return _field_of_urlencoded(body)
        if kind == "multipart/form-data":
            return _field_of_multipart(body, options.get("boundary", ""))
    except (ValueError, MultipartError):  # no form, or one of too many fields: it names no model
        pass
    return None


def _field_of_urlencoded(body: bytes) -> str | None:
    """Return the model's name in a form.  Raises ValueError."""
    fields = parse_qsl(body.decode("ascii"), max_num_fields=MAX_FIELDS)
    return next((value for name, value in fields if name == MODEL), None)


def _field_of_multipart(body: bytes, boundary: str) -> str | None:
    """Return the model's name in a form.  Raises MultipartError."""
    parser = PushMultipartParser(boundary, max_segment_count=MAX_FIELDS)
    found: bytearray | None = None
    for event in parser.parse(body):
        if isinstance(event, MultipartSegment):
            found = bytearray() if event.name == MODEL else None
        elif found is not None:
            if event is None:
                return found.decode("utf-8", "replace")
            found += event
            if len(found) > MAX_NAME_BYTES:
                return None
    return None


_OF_SAGEMAKER: dict[str, Any] = OF_A_HANDLER | {"also": ("PUT", "GET")}
ROUTES = [
    Route(
        "POST",
        "/invocations",
        invocations,
        "SageMaker's invocations",
        **_OF_SAGEMAKER,
    ),
    Route(
        "POST",
        "/models/{name}/invoke",
        invoke_model,
        "SageMaker's invocation of one of several models",
        **_OF_SAGEMAKER,
    ),
]
