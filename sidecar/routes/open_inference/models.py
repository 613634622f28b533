"""A model's tensors, and whether it is ready."""

from dataclasses import dataclass

from aiohttp import web

from sidecar.errors import ModelNotReady, VersionNotFound
from sidecar.models.model import Model
from sidecar.models.registry import ModelRegistry
from sidecar.models.versions import ModelVersions
from sidecar.open_inference.signature import signature_of
from sidecar.schemas.open_inference import ModelMetadata, ModelReady
from sidecar.torchserve.failures import EngineGone, EngineRefused
from sidecar.web.route import Route, json_response

PLATFORM = "torchserve_mar"


@dataclass(frozen=True, slots=True)
class TensorModelParts:
    """What these endpoints work with."""

    models: ModelRegistry
    versions: ModelVersions


PARTS = web.AppKey("open_inference_models", TensorModelParts)


async def model_facts(parts: TensorModelParts, name: str, version: str | None) -> ModelMetadata:
    """Return the tensors and the versions of the model called *name*.

    Raises ModelNotFound, VersionNotFound, and ModelNotReady for a tensor model that has never been
    loaded: its output is not known before.
    """
    model = parts.models.require(name)
    versions = await _versions(parts, model)
    if version is not None and version not in versions:
        raise VersionNotFound(model.key, version)
    if model.spec.task == "tensor" and model.output is None and not model.loaded:
        raise ModelNotReady(
            "the model has never been loaded, so its output is not known", field="model_name"
        )
    signature = signature_of(model)
    return ModelMetadata(name, versions, PLATFORM, [signature.input], list(signature.outputs))


async def model_readiness(parts: TensorModelParts, name: str, version: str | None) -> ModelReady:
    """Return whether the model called *name* answers, at once or after it has been woken.

    Raises ModelNotFound.
    """
    model = parts.models.require(name)
    there = version is None or version in await _versions(parts, model)
    return ModelReady(name, there and model.enabled and model.answers)


async def _versions(parts: TensorModelParts, model: Model) -> list[str]:
    """Return the loaded versions; if there is none, the one that would be loaded."""
    known = [model.version or model.spec.version]
    if not model.loaded:
        return known
    try:
        return await parts.versions.loaded(model.key) or known
    except (EngineGone, EngineRefused):
        return known


async def model_metadata(request: web.Request) -> web.Response:
    """Answer with the model's inputs and outputs; -1 is a dimension whose size varies."""
    place = request.match_info
    return json_response(await model_facts(request.app[PARTS], place["name"], place.get("version")))


async def model_metadata_of_version(request: web.Request) -> web.Response:
    """Answer with the inputs and outputs of this version."""
    return await model_metadata(request)


async def model_ready(request: web.Request) -> web.Response:
    """Answer 200 if the model answers, at once or after it has been woken; else 503."""
    place = request.match_info
    found = await model_readiness(request.app[PARTS], place["name"], place.get("version"))
    return json_response(found, 200 if found.ready else 503)


async def model_ready_of_version(request: web.Request) -> web.Response:
    """Answer 200 if this version answers; else 503."""
    return await model_ready(request)


ROUTES = [
    Route(
        "GET",
        "/v2/models/{name}",
        model_metadata,
        "A model's tensors",
        response=ModelMetadata,
        statuses=(404, 503),
    ),
    Route(
        "GET",
        "/v2/models/{name}/versions/{version}",
        model_metadata_of_version,
        "The tensors of one version",
        response=ModelMetadata,
        statuses=(404, 503),
    ),
    Route(
        "GET",
        "/v2/models/{name}/ready",
        model_ready,
        "Whether a model is ready",
        response=ModelReady,
        statuses=(404, 503),
        limited=False,
    ),
    Route(
        "GET",
        "/v2/models/{name}/versions/{version}/ready",
        model_ready_of_version,
        "Whether one version is ready",
        response=ModelReady,
        statuses=(404, 503),
        limited=False,
    ),
]
