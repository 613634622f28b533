"""Requests made up from the API document: what comes back is what the document says.

Also after them the server is well: none of it, however strange, may harm a worker.
"""

from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.schemas import OpenApiSchema

from sidecar.routes.groups import GROUPS
from sidecar.web.openapi import build_document
from tests.integration.server import Server

pytestmark = pytest.mark.integration

Case = schemathesis.Case[Any]
Token = Callable[[str], dict[str, str]]
MAX_TIMEOUT_SECONDS = 300.0  # the default of the setting
MODELS = "^/models/"
SPEECH = ["/synthesize", "/transcribe", "/audio/validate"]


def described(*accepted: int) -> OpenApiSchema:
    """The API; *accepted* are refusals of requests that are as the document says."""
    config = {
        "seed": 1,
        "checks": {
            # These alone of the 5xx, and only where they are documented (status_code_conformance).
            "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", 503, 504]},
            # 400: an input that the model cannot take; what that is, the document cannot say.
            "positive_data_acceptance": {
                "expected-statuses": ["2xx", 400, 401, 404, 503, 504, *accepted]
            },
        },
    }
    return schemathesis.openapi.from_dict(
        build_document(GROUPS, MAX_TIMEOUT_SECONDS), config=schemathesis.Config.from_dict(config)
    )


api = described()
models = described(403)  # without the scope admin: fuzzing is to download nothing
speech = described(422)  # which fields go together, as text or inputs, it cannot say either


def bounded(max_examples: int) -> settings:
    """The same cases at every run, and no more time than they take."""
    return settings(
        max_examples=max_examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def say_what_the_document_cannot(case: Case) -> None:
    """5.0 is an integer to JSON Schema, not to us."""
    body = case.body
    if not isinstance(body, dict):
        return
    priority = body.get("priority")
    if isinstance(priority, float) and priority.is_integer():
        body["priority"] = int(priority)


@speech.include(path=SPEECH).parametrize()
@bounded(25)
def test_every_answer_of_speech_is_as_documented(case: Case, server: Server, token: Token) -> None:
    say_what_the_document_cannot(case)
    case.call_and_validate(base_url=server.url, headers=token("stats"))


@models.include(path_regex=MODELS).parametrize()
@bounded(25)
def test_every_answer_about_models_is_as_documented(
    case: Case, server: Server, token: Token
) -> None:
    case.call_and_validate(base_url=server.url, headers=token("stats"))


@api.exclude(path=SPEECH).exclude(path_regex=MODELS).parametrize()
@bounded(40)
def test_every_answer_is_as_documented(case: Case, server: Server, token: Token) -> None:
    say_what_the_document_cannot(case)
    case.call_and_validate(base_url=server.url, headers=token("admin"))


@api.include(path="/predict").parametrize()
@bounded(400)
def test_every_answer_of_a_model_is_as_documented(case: Case, server: Server) -> None:
    """The same with a model that is there, so that the inputs reach its handler."""
    say_what_the_document_cannot(case)
    if isinstance(case.body, dict):
        case.body |= {"model_name": "example", "token": None}
    case.call_and_validate(base_url=server.url)


def test_the_server_is_well_after_all_that(server: Server) -> None:
    assert server.status("/readyz") == 200
