"""The API document is valid, and the live server does what it says."""

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import jwt
import pytest
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from handler_kit.wav import write_wav
from sidecar.routes.groups import GROUPS, ROUTES
from sidecar.web.openapi import build_document
from sidecar.web.route import Route
from tests.fake_torchserve import FakeTorchServe, Refuse
from tests.sidecar.conftest import SECRET, Client, StartSidecar

MAX_TIMEOUT_SECONDS = 300.0  # the default of the setting
DOCUMENT = json.loads(json.dumps(build_document(GROUPS, MAX_TIMEOUT_SECONDS)))
GOOD = {"model_name": "echo", "inputs": [1, 2, 3]}
CLIP = base64.b64encode(write_wav(bytes(3200), 16000)).decode()
NOWHERE = {"source": "tts_auto", "model_id": "nobody", "name": "nobody"}
# And what comes back where no model speaks, and nothing was downloaded.
TENSOR = {"inputs": [{"name": "input", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}
ASKED: dict[str, tuple[dict[str, Any] | None, int]] = {
    "/predict": (GOOD, 200),
    "/predictions/{name}": (GOOD, 200),
    "/predictions/{name}/{version}": (GOOD, 200),
    "/predictions/{name}/{version}/{url_path}": (GOOD, 200),
    "/explanations/{name}": (GOOD, 200),
    "/explanations/{name}/{version}": (GOOD, 200),
    "/models/{name}/invoke": (GOOD, 200),
    "/invocations": (GOOD, 422),
    "/v1/models/{name}:predict": ({"instances": [[1, 2]]}, 200),
    "/v1/models/{name}:explain": ({"instances": [[1, 2]]}, 200),
    "/synthesize": ({"text": "Hello."}, 404),
    "/transcribe": ({"inputs": CLIP}, 404),
    "/audio/validate": ({"inputs": CLIP}, 200),
    "/models/{name}/add": (None, 409),  # no archive of the echo can be built
    "/v1/embeddings": ({"model": "echo", "input": "Hello."}, 400),
    "/v1/completions": ({"model": "echo", "prompt": "Hello."}, 400),
    "/v1/chat/completions": (
        {"model": "echo", "messages": [{"role": "user", "content": "Hello."}]},
        400,
    ),
    "/v1/rerank": ({"model": "echo", "query": "Hello.", "documents": ["Hello."]}, 400),
    "/v2/rerank": ({"model": "echo", "query": "Hello.", "documents": ["Hello."]}, 400),
    "/v1/audio/speech": ({"model": "tts-1", "input": "Hello."}, 404),
    "/v1/audio/transcriptions": ({"model": "whisper-1"}, 400),  # JSON, and it must be a form
    "/v1/audio/translations": ({"model": "whisper-1"}, 400),
    "/models/{name}/scale": ({"workers": 1}, 200),
    "/models/{name}/default": ({"version": "1.0"}, 200),
    "/v2/models/{name}/infer": (TENSOR, 200),
    "/v2/models/{name}/versions/{version}/infer": (TENSOR, 200),
    "/v2/models/{name}/explain": (TENSOR, 400),  # the model's handler is ours
    "/autoscaler/scale": ({"action": "load_model", "models": ["echo"]}, 200),
    "/models/download": (NOWHERE, 404),
    "/models/download/status/{id}": (None, 404),
    "/models/download/{id}/cancel": (None, 404),
    "/models/download/{name}": (None, 404),
}


IN_PATHS = {
    "{file}": "server.log",
    "{name}": "echo",
    "{id}": "nobody",
    "{version}": "1.0",
    "{url_path}": "en",
}


def url_of(route: Route) -> str:
    """The route's path with a name that is there in each place for one."""
    url = route.path
    for place, name in IN_PATHS.items():
        url = url.replace(place, name)
    return url


@pytest.fixture(autouse=True)
def a_log_file(tmp_path: Path) -> None:
    (tmp_path / "var" / "logs").mkdir(parents=True)
    (tmp_path / "var" / "logs" / "server.log").write_text("a line\n")


def validator(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    """Of a schema of the document, whose references lead into the document."""
    return jsonschema.Draft202012Validator({"components": DOCUMENT["components"]} | schema)


REQUEST = validator(
    DOCUMENT["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
)


def content_of(method: str, path: str, status: int) -> dict[str, Any]:
    """The documented media types of an answer, with their schemas."""
    operation = DOCUMENT["paths"][path][method.lower()]
    assert str(status) in operation["responses"], f"{status} is not documented"
    content: dict[str, Any] = operation["responses"][str(status)]["content"]
    return content


def token(scope: str) -> dict[str, str]:
    claims = {"sub": "tester", "scope": scope, "exp": int(time.time()) + 60}
    return {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}


async def ask(client: Client, method: str, url: str, path: str = "", **kwargs: Any) -> int:
    """Asks; the answer must be as *path* (or *url*) is documented.  Returns its status."""
    response = await client.request(method, url, **kwargs)
    content = content_of(method, path or url, response.status)
    assert response.content_type in content
    if response.content_type == "application/json":
        validator(content[response.content_type]["schema"]).validate(await response.json())
    return response.status


def test_the_document_is_valid_openapi_3_1() -> None:
    schemathesis.openapi.from_dict(DOCUMENT).validate()


@pytest.mark.parametrize("name", DOCUMENT["components"]["schemas"])
def test_every_schema_is_valid_json_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(DOCUMENT["components"]["schemas"][name])


def test_every_reference_leads_somewhere() -> None:
    text = json.dumps(DOCUMENT)
    prefix = '"$ref": "#/components/schemas/'
    used = {part.partition('"')[0] for part in text.split(prefix)[1:]}
    assert used == set(DOCUMENT["components"]["schemas"])
    assert text.count('"$ref"') == text.count(prefix)


def test_every_operation_has_an_id_of_its_own() -> None:
    ids = [each["operationId"] for path in DOCUMENT["paths"].values() for each in path.values()]
    assert len(set(ids)) == len(ids) == sum(len(route.methods) for route in ROUTES)


def test_the_groups_come_in_the_order_that_a_newcomer_needs() -> None:
    names = [tag["name"] for tag in DOCUMENT["tags"]]
    assert names == ["Predict", "Speech", "Models", "OpenAI", "Open Inference", "Operations"]
    assert all(len(tag["description"]) > 50 for tag in DOCUMENT["tags"])
    used = [each["tags"] for path in DOCUMENT["paths"].values() for each in path.values()]
    assert sorted(used, key=lambda tags: names.index(tags[0])) == used
    assert {tag for tags in used for tag in tags} == set(names)


WITH_BODIES = [
    (route, media, content)
    for route in ROUTES
    if route.request is not None
    for media, content in DOCUMENT["paths"][route.path][route.method.lower()]["requestBody"][
        "content"
    ].items()
]


@pytest.mark.parametrize(
    ("route", "media", "content"), WITH_BODIES, ids=lambda part: getattr(part, "path", "")
)
def test_every_body_has_an_example_that_is_as_documented(
    route: Route, media: str, content: dict[str, Any]
) -> None:
    assert route.example is not None
    if media == "application/json":
        validator(content["schema"]).validate(content["example"])
    elif route.form == "only":
        shown = {
            name for name, field in content["schema"]["properties"].items() if "example" in field
        }
        assert shown == route.example.keys()


UNBOUNDED = {"logprob_threshold", "dimensions"}  # no smallest logarithm; the model's own size


def numbers(schema: dict[str, Any], name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every number in *schema*, with the name of its field."""
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if schema.get("type") in ("integer", "number"):
        yield name, schema
    for key, field in schema.get("properties", {}).items():
        yield from numbers(field, key)
    for part in schema.get("anyOf", []):
        yield from numbers(part, name)


@pytest.mark.parametrize(
    ("route", "media", "content"), WITH_BODIES, ids=lambda part: getattr(part, "path", "")
)
def test_every_number_of_an_inference_request_has_bounds(
    route: Route, media: str, content: dict[str, Any]
) -> None:
    if route.scope is not None:  # an operator's settings are as large as the machine
        return
    for name, schema in numbers(content["schema"]):
        if name not in UNBOUNDED:
            assert schema.keys() & {"minimum", "exclusiveMinimum"}, name
            assert schema.keys() & {"maximum", "exclusiveMaximum"}, name


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_every_routes_answer_is_as_documented(client: Client, route: Route) -> None:
    body, expected = ASKED.get(route.path, (None, 200))
    extra: dict[str, Any] = {"json": body} if body else {}
    status = await ask(
        client, route.method, url_of(route), route.path, headers=token("admin"), **extra
    )
    assert status == expected


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_a_refused_origin_is_as_documented(client: Client, route: Route) -> None:
    origin = {"Origin": "https://elsewhere.example"}
    assert await ask(client, route.method, url_of(route), route.path, headers=origin) == 403


@pytest.mark.parametrize("path", ["/health", "/readyz"])
async def test_a_failed_probe_answers_as_documented(
    client: Client, torchserve: FakeTorchServe, path: str
) -> None:
    await torchserve.stop()
    assert await ask(client, "GET", path) == 503


async def test_stats_refusals_are_as_documented(client: Client) -> None:
    assert await ask(client, "GET", "/stats") == 401
    assert await ask(client, "GET", "/stats", headers=token("nothing")) == 403


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_security_says_whether_a_credential_is_needed(client: Client, route: Route) -> None:
    """The empty requirement ``{}`` is OpenAPI's word for optional."""
    security = DOCUMENT["paths"][route.path][route.method.lower()].get("security", [{}])
    extra: dict[str, Any] = {"json": GOOD} if route.request else {}
    response = await client.request(route.method, url_of(route), **extra)
    assert (response.status == 401) == ({} not in security)
    wrong = {"Authorization": "Bearer a.wrong.token"}
    response = await client.request(route.method, url_of(route), headers=wrong, **extra)
    assert (response.status == 401) == (security != [{}])


async def test_every_refusal_of_predict_is_as_documented(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    client = await start(max_body_mb=0.01)

    async def predict(status: int, **kwargs: Any) -> None:
        assert await ask(client, "POST", "/predict", **kwargs) == status

    await predict(400, data=b"{")
    await predict(401, json=GOOD | {"token": "wrong"})
    await predict(404, json=GOOD | {"model_name": "nobody"})
    await predict(413, data=b" " * 20_000)
    await predict(422, json={})
    await predict(503, json=GOOD | {"model_name": "missing"})
    torchserve.hold()
    await predict(504, json=GOOD | {"timeout": 0.05})
    torchserve.release()

    def crash(_: Any) -> Any:
        raise Refuse(500, "a bug")

    torchserve.answer = crash
    await predict(500, json=GOOD)


FIELDS: dict[str, list[Any]] = {
    "model_name": ["", 7, None, ["echo"], "x" * 257],
    "inputs": [None, [], [None], [1, "a"], [[1], 2], [{}, "a"], [True, False]],
    "token": [7, True, []],
    "priority": [11, -1, "5", True, 1.5, None],
    "timeout": [0, -1, "30", True, None],
    "enable_batching": [1, "true", None],
    "colour": ["red"],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in FIELDS.items() for value in values]
)
async def test_the_request_schema_refuses_what_the_server_refuses(
    client: Client, field: str, value: Any
) -> None:
    body = GOOD | {field: value}
    assert await ask(client, "POST", "/predict", json=body) == 422
    assert not REQUEST.is_valid(body)


async def test_a_priority_of_5_0_is_5(client: Client) -> None:
    body = GOOD | {"priority": 5.0}
    assert await ask(client, "POST", "/predict", json=body) == 200
    assert REQUEST.is_valid(body)


@pytest.mark.parametrize("missing", GOOD)
async def test_the_request_schema_requires_what_the_server_requires(
    client: Client, missing: str
) -> None:
    body = {name: value for name, value in GOOD.items() if name != missing}
    assert await ask(client, "POST", "/predict", json=body) == 422
    assert not REQUEST.is_valid(body)


NUMBERS = st.integers(-20, 20) | st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.none() | st.booleans() | NUMBERS | st.text(max_size=3)
VALUES = LEAVES | st.lists(LEAVES, max_size=2) | st.dictionaries(st.text(max_size=3), LEAVES)
INPUTS = VALUES | st.lists(VALUES, max_size=3) | st.lists(NUMBERS) | st.lists(st.text(max_size=3))
FIELD = st.sampled_from(["inputs", "model_name", "priority", "timeout", "enable_batching", "more"])


@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(field=FIELD, value=VALUES, inputs=INPUTS)
async def test_the_request_schema_and_the_server_refuse_the_same(
    client: Client, field: str, value: Any, inputs: Any
) -> None:
    body = GOOD | {field: inputs if field == "inputs" else value}
    assume(field != "timeout" or not isinstance(value, float) or not 0 < value < 0.1)  # its 504
    assume(field != "timeout" or not isinstance(value, float) or value <= 300)  # a setting
    status = await ask(client, "POST", "/predict", json=body)
    assert (status != 422) == REQUEST.is_valid(body), body
