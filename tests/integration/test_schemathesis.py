"""Requests made up from the API document: what comes back is what the document says.

Also after them the server is well: none of it, however strange, may harm a worker.
"""

import re
from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.schemas import OpenApiSchema

from sidecar.routes.groups import GROUPS
from sidecar.web.openapi import build_document
from tests.integration.server import Server
from tests.waiting import LIMIT_SECONDS

pytestmark = pytest.mark.integration

Case = schemathesis.Case[Any]
Token = Callable[[str], dict[str, str]]
MAX_TIMEOUT_SECONDS = 300.0  # the default of the setting
DOCUMENT = build_document(GROUPS, MAX_TIMEOUT_SECONDS)
MODELS = ("/models/", "/v2/repository/models/")
BY_MEANING = {  # what goes together, as text or inputs, or is needed among many models
    "/synthesize",
    "/transcribe",
    "/audio/validate",
    "/invocations",
    "/autoscaler/scale",
}
WITHIN_OTHERS = {  # they match another path too, by a model's name, so their Allow names its GET
    "/models/download",
    "/v1/models/{name}:predict",
    "/v1/models/{name}:explain",
}


def described(*accepted: int, allow: bool = True) -> OpenApiSchema:
    """Return the API; *accepted* are refusals of requests that are as the document says.

    *allow*: the header Allow names the methods that the document has for the path.
    """
    config = {
        "seed": 1,
        "request-timeout": LIMIT_SECONDS,
        "checks": {
            # These alone of the 5xx, and only where they are documented (status_code_conformance).
            "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", 503, 504]},
            # 400: an input that the model cannot take; what that is, the document cannot say.
            "positive_data_acceptance": {
                "expected-statuses": ["2xx", 400, 401, 404, 503, 504, *accepted]
            },
            "allow_header_conformance": {"enabled": allow},
        },
    }
    return schemathesis.openapi.from_dict(DOCUMENT, config=schemathesis.Config.from_dict(config))


api = described()
models = described(403)  # without the scope admin: fuzzing is to download nothing
by_meaning = described(422)  # which fields go together the document cannot say
within_others = described(403, allow=False)


def bounded(max_examples: int) -> settings:
    """Return settings that give the same cases at every run, and no more time than they take."""
    return settings(
        max_examples=max_examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def say_what_the_document_cannot(case: Case) -> None:
    """Make a whole float of `priority` an integer: 5.0 is one to JSON Schema, not to us."""
    body = case.body
    if not isinstance(body, dict):
        return
    priority = body.get("priority")
    if isinstance(priority, float) and priority.is_integer():
        body["priority"] = int(priority)


def documented(method: str, path: str) -> tuple[str, Any]:
    """Return a test of one operation, and its name.

    schemathesis gives the tests of all operations one node id, of which xdist runs only one.
    """
    schema, scope, examples = api, "admin", 25
    if path in BY_MEANING:
        schema, examples = by_meaning, 15
    elif path in WITHIN_OTHERS:
        schema, scope, examples = within_others, "stats", 15
    elif path.startswith(MODELS):
        schema, scope, examples = models, "stats", 15

    def test(case: Case, server: Server, token: Token) -> None:
        say_what_the_document_cannot(case)
        case.call_and_validate(base_url=server.url, headers=token(scope))

    test.__name__ = re.sub(r"\W+", "_", f"test_{method}{path}").rstrip("_")
    chosen = schema.include(path=path, method=method.upper())
    return test.__name__, chosen.parametrize()(bounded(examples)(test))


globals().update(
    documented(method, path)
    for path, operations in DOCUMENT["paths"].items()
    for method in operations
)


@api.include(path="/predict").parametrize()
@bounded(150)
def test_every_answer_of_a_model_is_as_documented(case: Case, server: Server) -> None:
    """The same with a model that is there, so that the inputs reach its handler."""
    say_what_the_document_cannot(case)
    if isinstance(case.body, dict):
        case.body |= {"model_name": "example", "token": None}
    case.call_and_validate(base_url=server.url)


def test_every_operation_has_a_test_of_its_own() -> None:
    operations = [each for path in DOCUMENT["paths"].values() for each in path]
    names = [
        name for name in globals() if re.match(r"test_(get|post|put|delete|options)(_|$)", name)
    ]
    assert len(names) == len(operations)


def test_the_server_is_healthy_after_the_attacks(server: Server) -> None:
    assert server.status("/readyz") == 200
