"""Every archive answers under the sidecar what it answers under `torchserve --start`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.server import Server
from tests.own_archives.archives import REQUESTS, Ask, pack
from tests.own_archives.plain import Plain, Response, ask, plain_torchserve

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]  # twenty workers have to start


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
    )
    server.start()
    try:
        server.wait_ready()
        yield server
    finally:
        assert server.stop() == 0


@pytest.fixture(scope="module")
def answers(plain: Plain) -> list[Response]:
    """What TorchServe itself answers."""
    return [ask(plain.port, request) for request in REQUESTS]


@pytest.mark.parametrize("place", range(len(REQUESTS)), ids=lambda place: REQUESTS[place].model)
def test_bytes_status_and_content_type_are_torchserves(
    answers: list[Response], sidecar: Server, place: int
) -> None:
    assert ask(sidecar.port, of_somebody_else(REQUESTS[place])) == answers[place]


def of_somebody_else(request: Ask) -> Ask:
    """Both servers share the workers, so each sums up for a person of its own."""
    return request._replace(body=request.body.replace(b"somebody", b"somebody else"))
