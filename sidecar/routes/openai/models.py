"""GET /v1/models and /v1/models/{name}: the catalog in the form of OpenAI and KServe."""

import asyncio
from dataclasses import dataclass

from aiohttp import web

from sidecar.catalog.model_store import archive_mark
from sidecar.downloads.manager import DownloadManager
from sidecar.models.model import Model
from sidecar.models.registry import ModelRegistry
from sidecar.models.states import MISSING
from sidecar.routes.openai.names import NAMES
from sidecar.schemas.openai.models import ListedModel, ModelListing
from sidecar.settings import Settings
from sidecar.web.route import Route, json_response

NS = 10**9


@dataclass(frozen=True, slots=True)
class ListingParts:
    """What these endpoints work with."""

    settings: Settings
    models: ModelRegistry
    downloads: DownloadManager


PARTS = web.AppKey("openai_models", ListingParts)


async def list_openai_models(request: web.Request) -> web.Response:
    """Answer with the models that are on this server."""
    parts = request.app[PARTS]
    here = [model for model in parts.models.enabled if model.state not in MISSING]
    listed = await asyncio.to_thread(lambda: [_listed(model, parts.settings) for model in here])
    return json_response(ModelListing("list", listed, [each.id for each in listed]))


async def show_openai_model(request: web.Request) -> web.Response:
    """Answer with one model, by any of its names.  Raises ModelNotFound."""
    parts = request.app[PARTS]
    asked = request.match_info["name"]
    model = request.app[NAMES].require(asked)
    if model.state in MISSING:
        parts.downloads.refuse_missing(model, asked)
    return json_response(await asyncio.to_thread(_listed, model, parts.settings))


def _listed(model: Model, settings: Settings) -> ListedModel:
    """Return the item for *model*.  Blocks: it reads the modification time of the archive."""
    mark = archive_mark(settings.model_store / model.spec.archive_name(model.key))
    owner, slash, _ = (model.spec.model_id or "").partition("/")
    return ListedModel(
        id=model.key,
        object="model",
        created=None if mark is None else mark.changed_ns // NS,
        owned_by=owner if slash else "local",
        task=model.spec.task,
        state=model.state.shown,
        name=model.key,
        ready=model.usable,
    )


ROUTES = [
    Route(
        "GET",
        "/v1/models",
        list_openai_models,
        "The models on this server",
        ModelListing,
        placeholders=True,
    ),
    Route(
        "GET",
        "/v1/models/{name}",
        show_openai_model,
        "A model by any of its names",
        ListedModel,
        statuses=(404, 503),
        placeholders=True,
    ),
]
