"""TorchServe's management API, for its clients.  Served on a port of its own if one is set.

Its operations act on the sidecar's models: a model that is registered here sleeps, wakes, scales
and is replaced like every other.
"""

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import hdrs, web

from sidecar.errors import (
    EngineUnavailable,
    InvalidFields,
    InvalidJson,
    ModelNotFound,
    ModelNotReady,
    NoRoom,
    VersionNotFound,
    WorkersNotStarted,
)
from sidecar.models.model import Model
from sidecar.models.operator_changes import OperatorChanges
from sidecar.models.registration import REASON, Registered, Registration
from sidecar.models.registry import ModelRegistry
from sidecar.models.states import MISSING, State
from sidecar.routes.handler_requests import read_body
from sidecar.schemas.torchserve_management import (
    ArchiveListing,
    DescribeArchive,
    DescribedArchive,
    JobQueueStatus,
    ListArchives,
    ListedArchive,
    ManagementStatus,
    RegisterArchive,
    ScaleWorkers,
)
from sidecar.torchserve.client import TorchServeClient
from sidecar.torchserve.failures import EngineGone, EngineRefused
from sidecar.web.admission import ADMISSION
from sidecar.web.body import NOT_JSON, invalid_fields, read_query
from sidecar.web.route import Route

ALL = "all"  # stands for all versions in a path
MOST_LISTED = 100
PROCESSING = "Processing worker updates..."
_register = msgspec.json.Decoder(RegisterArchive)
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class ManagementParts:
    """What these endpoints work with."""

    models: ModelRegistry
    client: TorchServeClient
    registration: Registration
    operator_changes: OperatorChanges


PARTS = web.AppKey("torchserve_management", ManagementParts)


async def list_archives(request: web.Request) -> web.Response:
    """Answer with a page of the registered models, sorted by name."""
    asked = read_query(request, ListArchives)
    limit = asked.limit if 0 <= asked.limit <= MOST_LISTED else MOST_LISTED
    first = max(asked.next_page_token, 0)
    models = sorted(filter(_is_registered, request.app[PARTS].models.enabled), key=_name)
    return _answer(
        ArchiveListing(
            [
                ListedArchive(model.key, model.spec.archive_name(model.key))
                for model in models[first : first + limit]
            ],
            # Like TorchServe's, a last page that is just full has a token, too.
            str(first + limit) if first + limit <= len(models) else None,
        )
    )


async def register_archive(request: web.Request) -> web.Response:
    """Register an archive of the model store.  Load it if it gets workers at once."""
    asked = await _asked_registration(request)
    if not asked.url:
        raise InvalidFields("required", field="url", error="Parameter url is required.")
    if asked.handler is not None:
        raise InvalidFields("cannot be chosen here: the archive specifies it", field="handler")
    parts = request.app[PARTS]
    registered = await parts.registration.register(
        asked.url, asked.model_name, asked.inference(), asked.initial_workers
    )
    key, version, workers = registered.model.key, registered.version, registered.workers
    if not (workers or registered.beside):
        return _told(
            f'Model "{key}" Version: {version} registered with 0 initial workers. '
            "Use scale workers API to add workers for the model."
        )
    if not registered.beside:
        loading = _load(parts, registered)
        if not asked.synchronous:
            return _begun(parts, loading, f"loading {key}")
        await loading
    return _told(f'Model "{key}" Version: {version} registered with {workers} initial workers')


async def _asked_registration(request: web.Request) -> RegisterArchive:
    """Return the parameters in the query or in a JSON body.

    Raises InvalidJson and InvalidFields.
    """
    body = await read_body(request[ADMISSION])
    if request.content_type != "application/json":
        return read_query(request, RegisterArchive)
    try:
        return _register.decode(body)
    except msgspec.ValidationError as exc:
        raise invalid_fields(exc, RegisterArchive) from exc
    except NOT_JSON as exc:
        raise InvalidJson(str(exc), field="body") from exc


async def _load(parts: ManagementParts, registered: Registered) -> None:
    try:
        await parts.registration.load(registered)
    except (ModelNotReady, NoRoom) as exc:
        raise WorkersNotStarted(registered.model.key, registered.version, exc.rule) from exc


async def describe_archive(request: web.Request) -> web.Response:
    """Answer with the default version of a model, another version, or all of them."""
    asked = read_query(request, DescribeArchive)
    parts, model, version = request.app[PARTS], _registered(request), _version(request)
    try:
        versions = await parts.client.describe_whole(
            model.key, version, customized=asked.customized and version != ALL
        )
    except EngineRefused as exc:
        raise ModelNotReady(f"{model.key} has no worker that could describe it") from exc
    except EngineGone as exc:
        raise EngineUnavailable("TorchServe does not answer") from exc
    if not versions and version in (None, ALL, _default(model)):
        versions = [{}]  # the model is not in TorchServe at the moment
    if not versions:
        raise VersionNotFound(model.key, version or _default(model))
    return _answer([_described(parts, model, each) for each in versions])


def _described(parts: ManagementParts, model: Model, told: dict[str, Any]) -> dict[str, Any]:
    """Return TorchServe's description of a version, with the values that the sidecar determines.

    The sidecar keeps the queue, decides how many workers there are, and forms the batches.
    """
    key, spec, inference = model.key, model.spec, model.spec.inference
    waiting = len(model.dispatcher.queue)
    size = inference.batch_size if spec.is_own else inference.max_batch_size
    ours: dict[str, Any] = msgspec.to_builtins(
        DescribedArchive(
            model_name=key,
            model_version=_default(model),
            model_url=spec.archive_name(key),
            min_workers=inference.workers.min,
            max_workers=inference.workers.max,
            batch_size=size,
            max_batch_delay=inference.batch_delay_ms,
            response_timeout=inference.job_timeout_seconds,
            startup_timeout=inference.startup_timeout_seconds,
            loaded_at_startup=key in parts.models.catalog.auto_load(),
            job_queue_status=JobQueueStatus(max(inference.queue_size - waiting, 0), waiting),
        )
    )
    better = ("minWorkers", "maxWorkers", "batchSize", "maxBatchDelay", "loadedAtStartup")
    return ours | told | {name: ours[name] for name in (*better, "jobQueueStatus")}


async def scale_workers(request: web.Request) -> web.Response:
    """Set the limits of a model's workers.  With 0 the model sleeps until a request wakes it."""
    asked = read_query(request, ScaleWorkers)
    most = asked.min_worker if asked.max_worker is None else asked.max_worker
    if most < asked.min_worker:
        raise InvalidFields(
            f"must be at least {asked.min_worker}",
            field="max_worker",
            error="max_worker cannot be less than min_worker.",
        )
    parts, model = request.app[PARTS], _registered(request)
    version = _version(request) or asked.model_version
    if version not in (None, _default(model)):
        raise VersionNotFound(model.key, version or "", "only the default version can be scaled")
    change = _scale(parts, model, asked.min_worker, most)
    if not asked.synchronous:
        return _begun(parts, change, f"scaling {model.key}")
    await change
    of_version = "" if version is None else f", version: {version}"
    return _told(f"Workers scaled to {asked.min_worker} for model: {model.key}{of_version}")


async def _scale(parts: ManagementParts, model: Model, least: int, most: int) -> None:
    try:
        await parts.registration.set_worker_limits(model, least, most)
    except (ModelNotReady, NoRoom) as exc:
        raise WorkersNotStarted(model.key, _default(model), exc.rule) from exc


async def set_default(request: web.Request) -> web.Response:
    """Choose the version that requests go to from now on."""
    parts, model, version = request.app[PARTS], _registered(request), request.match_info["version"]
    await parts.operator_changes.make_default(model, version, REASON)
    return _told(f'Default version successfully updated for model "{model.key}" to "{version}"')


async def unregister(request: web.Request) -> web.Response:
    """Unregister a model or one version of it.  The archive stays in the model store."""
    model = _registered(request)
    await request.app[PARTS].registration.remove_version(model, _version(request))
    return _told(f'Model "{model.key}" unregistered')


def _registered(request: web.Request) -> Model:
    """Return the model that the path names.  Raises ModelNotFound."""
    name = request.match_info["name"]
    model = request.app[PARTS].models.require(name)
    if not _is_registered(model):
        raise ModelNotFound(name)
    return model


def _is_registered(model: Model) -> bool:
    return model.enabled and model.state not in MISSING | {State.REMOVING, State.REMOVED}


def _name(model: Model) -> str:
    return model.key


def _version(request: web.Request) -> str | None:
    return request.match_info.get("version")


def _default(model: Model) -> str:
    return model.version or model.spec.version


def _told(sentence: str, status: int = 200) -> web.Response:
    return _answer(ManagementStatus(sentence), status)


def _begun(parts: ManagementParts, change: Coroutine[Any, Any, None], what: str) -> web.Response:
    parts.registration.begin(change, what)
    return _told(PROCESSING, 202)


def _answer(value: Any, status: int = 200) -> web.Response:
    """Return *value* as JSON in TorchServe's layout: indented, with a line break at the end."""
    return web.Response(
        body=msgspec.json.format(_encode(value), indent=2) + b"\n",
        status=status,
        headers={hdrs.CONTENT_TYPE: "application/json"},
    )


ROUTES = [
    Route(
        "GET",
        "/models",
        list_archives,
        "The models",
        query=ListArchives,
        response=ArchiveListing,
        credential="admin",
    ),
    Route(
        "POST",
        "/models",
        register_archive,
        "Register an archive of the model store",
        request=RegisterArchive,
        query=RegisterArchive,
        response=ManagementStatus,
        credential="admin",
    ),
    Route(
        "GET",
        "/models/{name}",
        describe_archive,
        "One model",
        query=DescribeArchive,
        response=list[DescribedArchive],
        credential="admin",
    ),
    Route(
        "GET",
        "/models/{name}/{version}",
        describe_archive,
        "One version of a model, or all",
        query=DescribeArchive,
        response=list[DescribedArchive],
        credential="admin",
    ),
    Route(
        "PUT",
        "/models/{name}",
        scale_workers,
        "Set the limits of a model's workers",
        query=ScaleWorkers,
        response=ManagementStatus,
        credential="admin",
    ),
    Route(
        "PUT",
        "/models/{name}/{version}",
        scale_workers,
        "Set the limits of the default version's workers",
        query=ScaleWorkers,
        response=ManagementStatus,
        credential="admin",
    ),
    Route(
        "PUT",
        "/models/{name}/{version}/set-default",
        set_default,
        "Choose the default version",
        response=ManagementStatus,
        credential="admin",
    ),
    Route(
        "DELETE",
        "/models/{name}",
        unregister,
        "Unregister a model",
        response=ManagementStatus,
        credential="admin",
    ),
    Route(
        "DELETE",
        "/models/{name}/{version}",
        unregister,
        "Unregister a version",
        response=ManagementStatus,
        credential="admin",
    ),
]
