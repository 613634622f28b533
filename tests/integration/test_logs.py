"""No log of either program holds what a client sent; all of them have one kind of time."""

import json
import re
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.integration.server import SECRET, Server, wait_for
from tests.waiting import LIMIT_SECONDS

pytestmark = pytest.mark.integration
HIDDEN = "do-not-write-me-down"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ")


def send(server: Server, body: dict[str, Any], **headers: str) -> None:
    request = urllib.request.Request(
        f"{server.url}/predict?token={HIDDEN}",
        json.dumps(body).encode(),
        {"X-Request-ID": "sent-by-test-logs", **headers},
    )
    try:
        urllib.request.urlopen(request, timeout=LIMIT_SECONDS).close()
    except urllib.error.HTTPError as exc:
        exc.close()


def test_logs_contain_nothing_that_was_sent(server: Server) -> None:
    for inputs in (HIDDEN, [HIDDEN, HIDDEN], {"text": HIDDEN}, [[1], HIDDEN], {HIDDEN: 1}):
        send(server, {"model_name": "example", "inputs": inputs}, Cookie=HIDDEN)
    send(server, {"model_name": "example", "inputs": 1, "token": HIDDEN})
    send(server, {"model_name": "example", "inputs": 1}, Authorization=f"Bearer {HIDDEN}")
    folder = server.folder / "var" / "logs"
    requests = folder / "api_requests.log"
    wait_for(lambda: requests.read_text().count("sent-by-test-logs") == 7, server.log)
    texts = {path.name: path.read_text() for path in folder.iterdir()}
    assert {"server.log", "server_errors.log", "torchserve.log", "workers.log"} <= set(texts)
    for name, text in texts.items():
        assert HIDDEN not in text, name
        assert SECRET not in text, name


@pytest.mark.parametrize(
    "name", ["server.log", "api_requests.log", "torchserve.log", "workers.log"]
)
def test_every_log_begins_with_the_time_in_utc(server: Server, name: str) -> None:
    with (server.folder / "var" / "logs" / name).open() as file:
        assert TIME.match(file.readline())
