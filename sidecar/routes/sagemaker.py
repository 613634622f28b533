"""SageMaker's container protocol: /invocations, and one model of several at /models/…/invoke.

Its health check is GET /ping, which `predictions` has.
"""

from aiohttp import web

from sidecar.errors import InvalidFields
from sidecar.models.model import Model
from sidecar.routes.handler_requests import PARTS
from sidecar.routes.predictions import OF_A_HANDLER, respond
from sidecar.web.route import Route

MODEL = "model_name"


async def invocations(request: web.Request) -> web.StreamResponse:
    """Answer from the model that the query names, or from the only one."""
    named = request.query.get(MODEL)
    name = named or _only_model(request)

    def path_of(model: Model) -> str:
        # TorchServe hands the query to the handler as inputs, and has to find the name in it.
        return "/invocations" if named == model.key else f"/predictions/{model.key}"

    return await respond(request, name, path_of)


async def invoke_model(request: web.Request) -> web.StreamResponse:
    """Answer from one of several models."""
    return await respond(
        request, request.match_info["name"], lambda model: f"/models/{model.key}/invoke"
    )


def _only_model(request: web.Request) -> str:
    """Return the only model with a custom handler, or else the only model.

    Raises InvalidFields.
    """
    enabled = request.app[PARTS].models.enabled
    own = [model.key for model in enabled if model.spec.is_own]
    names = own or [model.key for model in enabled]
    if len(names) != 1:
        raise InvalidFields(
            f"{MODEL}: required in the query, because there are {len(names)} models"
        )
    return names[0]


ROUTES = [
    Route(
        "POST",
        "/invocations",
        invocations,
        "SageMaker's invocations",
        **OF_A_HANDLER,
    ),
    Route(
        "POST",
        "/models/{name}/invoke",
        invoke_model,
        "SageMaker's invocation of one of several models",
        **OF_A_HANDLER,
    ),
]
