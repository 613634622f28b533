"""`torchserve --start` on free ports, as its users start it: without tokens, with every archive."""

import http.client
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sidecar.torchserve.java import find_java_home
from tests.integration.server import free_port, wait_for
from tests.own_archives.archives import ARCHIVES, Ask
from tests.waiting import LIMIT_SECONDS


class Response(NamedTuple):
    """What a client sees of a response."""

    status: int
    content_type: str | None
    body: bytes
    caching: tuple[str | None, ...] = ()  # what it tells of that


def ask(port: int, request: Ask, seconds: float = 60.0) -> Response:
    """Send *request* to the server on *port*."""
    path = f"/{request.api}/own_{request.model}{request.behind}"
    return send(port, path, request.body, dict(request.headers), seconds)


def send(
    port: int, path: str, body: bytes, headers: dict[str, str], seconds: float = 60.0
) -> Response:
    """POST *body*, with no other headers than a client has to send."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.putrequest("POST", path, skip_accept_encoding=True)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        caching = tuple(map(response.getheader, ("Pragma", "Cache-Control", "Expires")))
        kind = response.getheader("Content-Type")
        return Response(response.status, kind, response.read(), caching)
    finally:
        connection.close()


def manage(port: int, method: str, path: str, token: str | None = None) -> tuple[int, Any]:
    """Ask a management API on *port*; the status and the JSON of its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_SECONDS)
    try:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        assert response.getheader("Content-Type") == "application/json"
        return response.status, json.loads(response.read())
    finally:
        connection.close()


class Plain(NamedTuple):
    """A running TorchServe: its ports, and its process."""

    port: int
    management: int
    metrics: int
    pid: int = 0


@contextmanager
def plain_torchserve(folder: Path, store: Path, models: int = len(ARCHIVES)) -> Iterator[Plain]:
    """Run TorchServe, until every archive of *store*, which holds so many *models*, is loaded."""
    folder.mkdir()
    (folder / "tmp").mkdir()
    plain = Plain(free_port(), free_port(), free_port())
    addresses = zip(("inference", "management", "metrics"), plain[:3], strict=True)
    config = folder / "config.properties"
    config.write_text(
        "\n".join(
            [
                *(f"{api}_address=http://127.0.0.1:{number}" for api, number in addresses),
                "grpc_inference_port=0",
                "grpc_management_port=0",
                "load_models=all",
                "default_workers_per_model=1",
                "enable_model_api=true",
                "disable_system_metrics=true",
            ]
        )
    )
    environment = os.environ | {
        "JAVA_HOME": str(find_java_home()),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TMPDIR": str(folder / "tmp"),
        "TEMP": str(folder / "tmp"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = ["torchserve", "--start", "--foreground", "--ncs", "--disable-token-auth"]
    command += ["--ts-config", str(config), "--model-store", str(store)]
    log = folder / "output.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        ready: set[str] = set()
        wait_for(lambda: process.poll() is not None or _loaded(plain, models, ready), log)
        yield plain._replace(pid=process.pid)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(LIMIT_SECONDS)


def _loaded(plain: Plain, models: int, ready: set[str]) -> bool:
    """Whether every registered model has all its workers READY; it registers them one by one.

    Those that are go to *ready* and are asked no more, nor is any behind the first that is not:
    TorchServe would be busy with answers while its workers wait for the processor.
    """
    try:
        names = [each["modelName"] for each in _get(plain.management, "/models")["models"]]
        for name in names:
            if name not in ready:
                (state,) = _get(plain.management, f"/models/{name}")
                workers = sum(worker["status"] == "READY" for worker in state["workers"])
                if workers < state["minWorkers"]:
                    return False
                ready.add(name)
    except (OSError, KeyError, ValueError):
        return False
    return len(ready) == models


def _get(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=LIMIT_SECONDS) as answer:
        return json.loads(answer.read())
