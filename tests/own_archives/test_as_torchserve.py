"""Every archive answers under the sidecar what it answers under `torchserve --start`.

Its operators get the same answers too, from the management API.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.integration.server import SECRET, Server, free_port
from tests.own_archives.archives import FORM, REQUESTS, TEXT, Ask, pack
from tests.own_archives.plain import Plain, Response, ask, manage, plain_torchserve, send

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("own-archives")


@pytest.fixture(scope="module")
def plain(folder: Path) -> Iterator[Plain]:
    """TorchServe as its users start it, with every archive."""
    pack(folder / "store")
    with plain_torchserve(folder / "plain", folder / "store") as plain:
        yield plain


@pytest.fixture(scope="module")
def sidecar(plain: Plain, folder: Path) -> Iterator[Server]:
    """The sidecar beside it, which offers what lies in the model store."""
    (folder / "models.json").write_text('{"models": {}}')
    server = Server(
        folder,
        torchserve="external",
        models_file=str(folder / "models.json"),
        model_store=str(folder / "store"),
        serve_archives="true",
        inference_url=f"http://127.0.0.1:{plain.port}",
        management_url=f"http://127.0.0.1:{plain.management}",
        metrics_url=f"http://127.0.0.1:{plain.metrics}",
        torchserve_management_port=str(free_port()),
    )
    server.start()
    try:
        server.wait_ready()
        yield server
    finally:
        assert server.stop() == 0


@pytest.fixture(scope="module")
def managed(plain: Plain, folder: Path) -> Iterator[Server]:
    """The sidecar with a TorchServe of its own, whose workers take batches as one request."""
    own = folder / "managed"
    own.mkdir()
    (own / "models.json").write_text('{"models": {}}')
    server = Server(
        own,
        models_file=str(own / "models.json"),
        model_store=str(folder / "store"),
        serve_archives="true",
        zero_scaling="false",
    )
    with server.running():
        yield server


@pytest.fixture(scope="module")
def answers(plain: Plain) -> list[Response]:
    """What TorchServe itself answers."""
    return [ask(plain.port, request) for request in REQUESTS]


@pytest.mark.parametrize("place", range(len(REQUESTS)), ids=lambda place: REQUESTS[place].model)
def test_bytes_status_and_content_type_are_torchserves(
    answers: list[Response], sidecar: Server, place: int
) -> None:
    assert ask(sidecar.port, of_somebody_else(REQUESTS[place])) == answers[place]


@pytest.mark.parametrize("place", range(len(REQUESTS)), ids=lambda place: REQUESTS[place].model)
def test_a_torchserve_of_our_own_answers_the_same(
    answers: list[Response], managed: Server, place: int
) -> None:
    assert ask(managed.port, REQUESTS[place]) == answers[place]


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("/invocations", b"a=1&model_name=own_parts", FORM),
        ("/invocations?model_name=own_parts", b"a=1", FORM),
    ],
)
def test_requests_without_a_model_in_their_path_are_answered_alike(
    plain: Plain, sidecar: Server, path: str, body: bytes, headers: dict[str, str]
) -> None:
    assert send(sidecar.port, path, body, headers) == send(plain.port, path, body, headers)


def of_somebody_else(request: Ask) -> Ask:
    """Both servers share the workers, so each sums up for a person of its own."""
    return request._replace(body=request.body.replace(b"somebody", b"somebody else"))


REGISTERED = "/models?url=own_function.mar&model_name={name}&initial_workers="
ASKED_OF_MANAGEMENT = (  # in this order
    ("GET", "/models?limit=2"),
    ("GET", "/models?limit=1&next_page_token=3"),
    ("GET", "/models/own_text"),
    ("GET", "/models/own_text/1.0"),
    ("GET", "/models/own_text/all"),
    ("GET", "/models/own_text/9"),
    ("GET", "/models/nobody"),
    ("POST", "/models"),
    ("POST", "/models?url=nothing.mar"),
    ("POST", "/models?url=../own_text.mar"),
    ("POST", REGISTERED + "0"),
    ("POST", REGISTERED + "0"),
    ("GET", "/models/{name}"),
    ("PUT", "/models/{name}?min_worker=1&synchronous=true"),
    ("GET", "/models/{name}"),
    ("PUT", "/models/{name}?min_worker=1&max_worker=2"),
    ("PUT", "/models/{name}/1.0?min_worker=1&max_worker=2&synchronous=true"),
    ("PUT", "/models/{name}?min_worker=2&max_worker=1"),
    ("PUT", "/models/{name}/9?min_worker=1"),
    ("PUT", "/models/{name}/1.0/set-default"),
    ("PUT", "/models/{name}/9/set-default"),
    ("PUT", "/models/{name}?min_worker=0&max_worker=0&synchronous=true"),
    ("DELETE", "/models/{name}/9"),
    ("DELETE", "/models/{name}"),
    ("DELETE", "/models/{name}"),
    ("POST", REGISTERED + "1"),
    ("DELETE", "/models/{name}/1.0"),
    ("POST", "/models/own_text"),
    ("DELETE", "/models"),
)


def test_the_management_api_answers_in_torchserves_statuses_and_shapes(
    plain: Plain, sidecar: Server
) -> None:
    ours, token = management_of(sidecar)
    for method, path in ASKED_OF_MANAGEMENT:
        asked = path.format(name="by_torchserve"), path.format(name="by_the_sidecar")
        theirs = shape(manage(plain.management, method, asked[0]), "by_torchserve")
        assert shape(manage(ours, method, asked[1], token), "by_the_sidecar") == theirs, asked


def management_of(sidecar: Server) -> tuple[int, str]:
    """Return the port of its management API, and a token for it."""
    claims = {"sub": "operator", "scope": "admin", "exp": int(time.time()) + 600}
    port = int(sidecar.environment["SIDECAR_TORCHSERVE_MANAGEMENT_PORT"])
    return port, jwt.encode(claims, SECRET, "HS256")


def test_a_registered_archive_answers_scales_sleeps_wakes_and_leaves(sidecar: Server) -> None:
    port, token = management_of(sidecar)
    asked = Ask("copy", b"hello", TEXT)

    def workers() -> int:
        _, (shown,) = manage(port, "GET", "/models/own_copy", token)
        return len(shown["workers"])

    registered = "/models?url=own_function.mar&model_name=own_copy&initial_workers=1"
    assert manage(port, "POST", registered, token)[0] == 200
    answered = ask(sidecar.port, asked)
    assert answered == ask(sidecar.port, asked._replace(model="function"))
    scaled = "/models/own_copy?min_worker=2&synchronous=true"
    assert (manage(port, "PUT", scaled, token)[0], workers()) == (200, 2)
    slept = "/models/own_copy?min_worker=0&max_worker=0&synchronous=true"
    assert (manage(port, "PUT", slept, token)[0], workers()) == (200, 0)
    assert ask(sidecar.port, asked) == answered
    assert workers() > 0
    assert manage(port, "DELETE", "/models/own_copy", token)[0] == 200
    assert ask(sidecar.port, asked).status == 404


def shape(answer: tuple[int, Any], name: str) -> tuple[int, Any]:
    """Return what both must have alike: of an error its type, of a sentence all but the name."""
    status, body = answer
    if status >= 400:
        return status, (body["code"], body["type"], isinstance(body["message"], str))
    if "status" in body:
        return status, body["status"].replace(name, "NAME")
    return status, kinds(body)


def kinds(value: Any) -> Any:
    """Return the names and the types in *value*."""
    if isinstance(value, dict):
        return {key: kinds(each) for key, each in sorted(value.items())}
    return [kinds(each) for each in value] if isinstance(value, list) else type(value).__name__
