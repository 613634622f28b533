"""How errors are written: in our own form, or in the one that clients of some routes expect.

The error states its status; a form may translate it to the one that its clients know.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from sidecar.errors import SidecarError, sentence
from sidecar.schemas.open_inference import OpenInferenceError
from sidecar.schemas.openai.errors import ErrorType, OpenAIError
from sidecar.schemas.predict import ErrorBody
from sidecar.schemas.torchserve import TorchServeError

AS_THEY_ARE: Mapping[str, str] = MappingProxyType({})


class Fault(NamedTuple):
    """What went wrong.  *rule*, *field* and *extra* are those of `SidecarError`."""

    status: int
    error: str
    rule: str
    field: str | None = None
    extra: Mapping[str, Any] = MappingProxyType({})

    @classmethod
    def of(cls, exc: SidecarError, field_names: Mapping[str, str] = AS_THEY_ARE) -> "Fault":
        """Return what *exc* tells; *field_names* has the client's names for fields."""
        field = None if exc.field is None else field_names.get(exc.field, exc.field)
        return cls(exc.status, exc.message, exc.rule, field, exc.extra)

    @property
    def detail(self) -> str:
        """The sentence that names the field and the rule."""
        return sentence(self.field, self.rule)

    def bare(self) -> "Fault":
        """Return the same without its sentences, which may hold what cannot be encoded."""
        phrase = HTTPStatus(self.status).phrase
        return Fault(self.status, phrase, phrase)


class ErrorForm(NamedTuple):
    """*body* writes an error, *schema* is its type for the API document.

    *statuses* has those that are another here.
    """

    schema: type
    body: Callable[[Fault], dict[str, Any]]
    statuses: Mapping[int, int] = MappingProxyType({})

    def encode(self, fault: Fault) -> bytes:
        """Return *fault*, without its sentences if they hold text that cannot be encoded."""
        try:
            return msgspec.json.encode(self.body(fault))
        except UnicodeEncodeError:
            return msgspec.json.encode(self.body(fault.bare()))

    def status(self, status: int) -> int:
        """Return the status that the clients of this form know for *status*."""
        return self.statuses.get(status, status)


def form_of(path: str) -> ErrorForm:
    """Return the form of errors below *path*, on the port that all clients ask."""
    if path.startswith(TORCHSERVE_PATHS) or path.endswith(KSERVE_VERBS):
        return _TORCHSERVE
    if path.startswith(OPENAI_PATHS):
        return _OPENAI
    return _OPEN_INFERENCE if path == "/v2" or path.startswith("/v2/") else OWN


OPENAI_PATHS = ("/v1/", "/v2/rerank")
TORCHSERVE_PATHS = ("/predictions/", "/explanations/", "/invocations")
KSERVE_VERBS = (":predict", ":explain", "/invoke")


def _own_body(fault: Fault) -> dict[str, Any]:
    return {
        "success": False,
        "error": fault.error,
        "detail": fault.detail,
        "status_code": fault.status,
        **fault.extra,
    }


_TYPES: Mapping[int, ErrorType] = MappingProxyType(
    {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
)
_PARAMS = MappingProxyType({"inputs": "input", "model_name": "model"})
_CODES = MappingProxyType({401: "invalid_api_key", 429: "rate_limit_exceeded"})


def _openai_body(fault: Fault) -> dict[str, Any]:
    unknown_model = fault.status == 404 and "model_info" in fault.extra
    usual: ErrorType = "server_error" if fault.status >= 500 else "invalid_request_error"
    facts = {
        "message": f"{fault.error} ({fault.detail})" if fault.field else fault.error,
        "type": _TYPES.get(fault.status, usual),
        "param": _PARAMS.get(fault.field, fault.field) if fault.field else None,
        "code": "model_not_found" if unknown_model else _CODES.get(fault.status),
    }
    return {"error": {**fault.extra, **facts}}


_KINDS: Mapping[int, str] = MappingProxyType(
    {
        400: "BadRequestException",
        401: "InvalidKeyException",
        403: "InvalidKeyException",
        404: "ModelNotFoundException",
        405: "MethodNotAllowedException",
        409: "ConflictStatusException",
        422: "BadRequestException",
        503: "ServiceUnavailableException",
        504: "RequestTimeoutException",
    }
)


_KINDS_OF_VERSIONS: Mapping[int, str] = MappingProxyType(
    {403: "InvalidModelVersionException", 404: "ModelVersionNotFoundException"}
)


def _torchserve_body(fault: Fault) -> dict[str, Any]:
    """TorchServe's three fields, beside our own."""
    kind = _KINDS.get(fault.status, "InternalServerException")
    if fault.field == "version":
        kind = _KINDS_OF_VERSIONS.get(fault.status, kind)
    return {"code": fault.status, "type": kind, "message": fault.error, **_own_body(fault)}


_FOR_OPERATORS: Mapping[int, int] = MappingProxyType({422: 400})


def _management_body(fault: Fault) -> dict[str, Any]:
    return _torchserve_body(fault._replace(status=_FOR_OPERATORS.get(fault.status, fault.status)))


def _open_inference_body(fault: Fault) -> dict[str, Any]:
    return {"error": f"{fault.error} ({fault.detail})" if fault.field else fault.error}


OWN = ErrorForm(ErrorBody, _own_body)
_OPENAI = ErrorForm(OpenAIError, _openai_body, MappingProxyType({422: 400}))
_TORCHSERVE = ErrorForm(TorchServeError, _torchserve_body)
_OPEN_INFERENCE = ErrorForm(OpenInferenceError, _open_inference_body, MappingProxyType({422: 400}))
MANAGEMENT = ErrorForm(TorchServeError, _management_body, _FOR_OPERATORS)
FORM = web.AppKey("error_form", ErrorForm)  # of every error of an application
