"""The model repository extension: listing, loading and unloading models."""

from collections.abc import Mapping
from typing import Any, assert_never

import msgspec
from aiohttp import web

from sidecar.errors import InvalidFields
from sidecar.models.model import Model
from sidecar.models.states import State
from sidecar.routes.models import PARTS, ModelParts
from sidecar.schemas.open_inference import (
    IndexedModel,
    IndexRequest,
    RepositoryChange,
    RepositoryRequest,
    RepositoryState,
)
from sidecar.web.admission import ADMISSION
from sidecar.web.body import read_change
from sidecar.web.route import CHANGE_BYTES, Route, json_response

REASON = "asked by a client of the model repository"
IGNORED = frozenset({"unload_dependents"})  # no model here depends on another
_index = msgspec.json.Decoder(IndexRequest)
_change = msgspec.json.Decoder(RepositoryRequest)


def list_models(parts: ModelParts, *, only_ready: bool) -> list[IndexedModel]:
    """Return every model of the catalog, or only those that answer."""
    found = [_indexed(model) for model in parts.models.values()]
    return [each for each in found if each.state == "READY" or not only_ready]


def _indexed(model: Model) -> IndexedModel:
    state = _repository_state(model.state)
    reason = "" if state == "READY" else model.error or f"it is {model.state.shown}"
    return IndexedModel(model.key, model.version or model.spec.version, state, reason)


def _repository_state(state: State) -> RepositoryState:
    match state:
        case State.READY | State.PAUSED | State.WAKING | State.IDLE:  # a request wakes an idle one
            return "READY"
        case State.LOADING | State.RESTARTING | State.DOWNLOADING:
            return "LOADING"
        case State.REMOVING:
            return "UNLOADING"
        case State.DISABLED | State.AVAILABLE | State.ARCHIVED | State.FAILED | State.REMOVED:
            return "UNAVAILABLE"
        case _:
            assert_never(state)


async def load(parts: ModelParts, name: str, parameters: Mapping[str, Any]) -> None:
    """Load or wake the model called *name*.

    Raises InvalidFields, ModelNotFound, ModelDownloading, ModelNotReady and NoRoom.
    """
    _check(parameters)
    await parts.operator_changes.load(parts.models.require(name), REASON)


async def unload(parts: ModelParts, name: str, parameters: Mapping[str, Any]) -> None:
    """Unload the model called *name* from memory.  Raises InvalidFields and ModelNotFound."""
    _check(parameters)
    await parts.operator_changes.unload(parts.models.require(name), REASON)


def _check(parameters: Mapping[str, Any]) -> None:
    for name in parameters:
        if name not in IGNORED:
            raise InvalidFields(
                "models are configured only in models.json", field=f"parameters.{name}"[:200]
            )


async def repository_index(request: web.Request) -> web.Response:
    """Answer with every model of the catalog and its state."""
    asked = await read_change(request[ADMISSION], _index)
    return json_response(list_models(request.app[PARTS], only_ready=asked.ready))


async def repository_load(request: web.Request) -> web.Response:
    """Load or wake a model.  Answer when it is ready."""
    asked = await read_change(request[ADMISSION], _change)
    await load(request.app[PARTS], request.match_info["name"], asked.parameters)
    return json_response(RepositoryChange())


async def repository_unload(request: web.Request) -> web.Response:
    """Unload a model from memory."""
    asked = await read_change(request[ADMISSION], _change)
    await unload(request.app[PARTS], request.match_info["name"], asked.parameters)
    return json_response(RepositoryChange())


CHANGES = (400, 401, 404, 413, 422, 503)
ROUTES = [
    Route(
        "POST",
        "/v2/repository/index",
        repository_index,
        "Every model and its state, for clients of the protocol",
        request=IndexRequest,
        response=list[IndexedModel],
        statuses=(400, 401, 413, 503),
        credential="optional",
        max_body_bytes=CHANGE_BYTES,
        empty_body=True,
        example={"ready": True},
    ),
    Route(
        "POST",
        "/v2/repository/models/{name}/load",
        repository_load,
        "Load a model, for clients of the protocol",
        request=RepositoryRequest,
        response=RepositoryChange,
        statuses=CHANGES,
        credential="admin",
        example={},
    ),
    Route(
        "POST",
        "/v2/repository/models/{name}/unload",
        repository_unload,
        "Unload a model, for clients of the protocol",
        request=RepositoryRequest,
        response=RepositoryChange,
        statuses=CHANGES,
        credential="admin",
        example={},
    ),
]
