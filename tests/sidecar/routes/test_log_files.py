"""The log files as routes, the id of a request in all of them, and secrets in none."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest

from sidecar.program import PROGRAM
from sidecar.settings import Settings
from sidecar.telemetry.logs import open_logs
from tests.fake_torchserve import FakeTorchServe, Refuse
from tests.sidecar.conftest import SECRET, Client, StartSidecar
from tests.waiting import until, until_awaited

pytestmark = pytest.mark.usefixtures("opened")
GOOD = {"model_name": "echo", "inputs": [1, 2, 3]}
HIDDEN = "do-not-write-me-down"


def admin(scope: str = "admin") -> dict[str, str]:
    claims = {"sub": "the-operator", "scope": scope, "exp": int(time.time()) + 60}
    return {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "var" / "logs"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[None]:
    with open_logs(Settings(state_dir=tmp_path / "var", log_format="json")):
        yield


async def lines(folder: Path, name: str, count: int) -> list[dict[str, Any]]:
    """Return the first *count* lines once the writing thread has written them."""
    text = await until_awaited(
        lambda: asyncio.to_thread((folder / name).read_text),
        lambda text: text.count("\n") >= count,
    )
    return [json.loads(line) for line in text.splitlines()[:count]]


async def line_about(folder: Path, beginning: str) -> dict[str, Any]:
    """Return the line of server.log whose message begins so, once it is written."""

    async def find() -> dict[str, Any] | None:
        text = await asyncio.to_thread((folder / "server.log").read_text)
        written = map(json.loads, text.splitlines()[: text.count("\n")])
        return next((line for line in written if line["message"].startswith(beginning)), None)

    line = await until_awaited(find)
    assert line is not None
    return line


async def test_the_files_are_listed_as_the_folder_was_set(
    start: StartSidecar, folder: Path
) -> None:
    client = await start()
    (folder / "server.log.1").write_bytes(b"2026-11-23T08:30:12.482Z a\nb\n")
    listed = await (await client.get("/logs", headers=admin())).json()
    assert listed["log_directory"] == str(folder)
    assert listed["log_level"] == "INFO"
    files = {each["name"]: each for each in listed["available_log_files"]}
    assert set(files) == {"server.log", "server.log.1", "server_errors.log", "api_requests.log"}
    rotated = files["server.log.1"]
    assert rotated.pop("last_modified").endswith("Z")
    assert rotated == {
        "name": "server.log.1",
        "path": str(folder / "server.log.1"),
        "size_bytes": 29,
        "size_mb": 0.0,
        "line_count": 2,
        "created": "2026-11-23T08:30:12Z",
    }
    configured = await (await client.get("/config")).json()
    assert set(configured["logging_config"]["log_files"]) == set(files)


async def test_lines_are_text_with_the_files_counts(client: Client, folder: Path) -> None:
    (folder / "workers.log").write_bytes(b"1\n2\n3\n")
    last = await client.get("/logs/workers.log?lines=2", headers=admin())
    assert last.status == 200
    assert await last.read() == b"2\n3\n"
    assert last.content_type == "text/plain"
    assert 'filename="workers.log"' in last.headers["Content-Disposition"]
    assert (last.headers["X-Total-Lines"], last.headers["X-File-Size"]) == ("3", "6")
    first = await client.get("/logs/workers.log?lines=1&from_end=false", headers=admin())
    assert await first.read() == b"1\n"


@pytest.mark.parametrize("query", ["lines=0", "lines=10001", "lines=x", "from_end=maybe", "a=1"])
async def test_a_wrong_query_is_422_and_names_the_field(client: Client, query: str) -> None:
    response = await client.get(f"/logs/server.log?{query}", headers=admin())
    assert response.status == 422
    assert (await response.json())["detail"].startswith(query.partition("=")[0])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/logs/nobody.log", 404),
        ("/logs/jwt_secret", 400),
        ("/logs/server.log%00", 400),
        ("/logs/%2e%2e", 400),
        ("/logs/..%2f..%2fjwt_secret", 400),
        ("/logs/%2fetc%2fpasswd", 400),
        ("/logs/..%5cserver.log", 400),
        ("/logs/../../jwt_secret", 404),
        ("/logs/link.log", 404),
    ],
)
async def test_no_path_leads_out_of_the_folder(
    client: Client, folder: Path, path: str, status: int
) -> None:
    outside = folder.parent / "secret"
    outside.write_text(HIDDEN)
    (folder / "link.log").symlink_to(outside)
    for method in (b"GET", b"DELETE"):
        answer = await raw(client, method + b" " + path.encode() + b" HTTP/1.1", admin())
        assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert outside.read_text() == HIDDEN


async def raw(client: Client, first_line: bytes, headers: dict[str, str]) -> bytes:
    """The answer to a request that no client library would send."""
    reader, writer = await asyncio.open_connection(client.host, client.port)
    head = [first_line, b"Host: localhost", b"Connection: close"]
    head += [f"{name}: {value}".encode() for name, value in headers.items()]
    writer.write(b"\r\n".join([*head, b"", b""]))
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_emptying_says_what_was_there_and_who_did_it(client: Client, folder: Path) -> None:
    (folder / "workers.log").write_bytes(b"x" * 2**20)
    response = await client.delete("/logs/workers.log", headers=admin())
    assert await response.json() == {
        "success": True,
        "message": "workers.log is empty now",
        "original_size_bytes": 2**20,
        "original_size_mb": 1.0,
    }
    assert (folder / "workers.log").read_bytes() == b""
    said = await line_about(folder, "workers.log was emptied by the-operator")
    assert said["request_id"] == response.headers["X-Request-ID"]


async def test_the_log_that_is_being_written_goes_on_after_it_was_emptied(
    client: Client, folder: Path
) -> None:
    await client.delete("/logs/api_requests.log", headers=admin())
    await client.get("/livez")
    said = await lines(folder, "api_requests.log", 2)
    assert [line["path"] for line in said] == ["/logs/{file}", "/livez"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/logs"), ("GET", "/logs/server.log"), ("DELETE", "/logs/server.log")],
)
async def test_the_logs_are_for_admins_alone(client: Client, method: str, path: str) -> None:
    assert (await client.request(method, path)).status == 401
    assert (await client.request(method, path, headers=admin("stats"))).status == 403
    assert (await client.request(method, path, headers=admin())).status == 200


async def test_each_request_has_one_line(client: Client, folder: Path) -> None:
    await client.post("/predict", json=GOOD, headers=admin() | {"X-Request-ID": "mine"})
    await client.get(f"/nowhere/{HIDDEN}?token={HIDDEN}")
    await client.get(f"/livez?token={HIDDEN}")
    answered, unknown, live = await lines(folder, "api_requests.log", 3)
    assert 0 < answered.pop("seconds") < 60
    assert answered.pop("bytes") > 100
    assert answered.pop("time") <= unknown["time"] <= live["time"]
    assert answered.pop("message").startswith("POST /predict 200 ")
    assert answered == {
        "level": "INFO",
        "logger": "sidecar.requests",
        "request_id": "mine",
        "method": "POST",
        "path": "/predict",
        "status": 200,
        "subject": "the-operator",
    }
    assert (unknown["path"], unknown["status"], unknown["subject"]) == ("unknown", 404, None)
    assert (live["path"], live["status"]) == ("/livez", 200)


async def test_a_client_that_leaves_has_a_line_too(
    client: Client, torchserve: FakeTorchServe, folder: Path
) -> None:
    torchserve.hold()
    with pytest.raises(asyncio.TimeoutError):
        await client.post("/predict", json=GOOD, timeout=aiohttp.ClientTimeout(total=0.2))
    (line,) = await lines(folder, "api_requests.log", 1)
    assert (line["path"], line["status"], line["bytes"]) == ("/predict", 499, None)
    torchserve.release()


async def test_a_line_about_a_job_has_the_ids_of_all_its_requests(
    client: Client, torchserve: FakeTorchServe, folder: Path
) -> None:
    assert client.app is not None
    models = client.app[PROGRAM].models
    torchserve.hold()
    requests: list[asyncio.Task[Any]] = []
    for name in ("first", "second", "third"):
        headers = {"X-Request-ID": name}
        requests.append(asyncio.create_task(client.post("/predict", json=GOOD, headers=headers)))
        await until(lambda: len(torchserve.jobs) + models.queued == len(requests))
    torchserve.refusals = [None, (503, "InternalServerException")]
    torchserve.release()
    await asyncio.gather(*requests)
    said = await line_about(folder, "a job of 2 for echo: ")
    assert said["request_id"] == "second,third"


async def test_the_id_travels_with_each_input(client: Client, torchserve: FakeTorchServe) -> None:
    headers = {"X-Request-ID": "mine"}
    await client.post("/predict", json=GOOD | {"inputs": [[1], [2]]}, headers=headers)
    (job,) = torchserve.items
    assert [item["request_id"] for item in job] == ["mine", "mine"]


def all_of(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


async def test_log_files_contain_no_secret(
    client: Client, torchserve: FakeTorchServe, folder: Path
) -> None:
    """In the body, the headers and the query, of requests that succeed, fail, and are no HTTP."""
    secret = {"X-API-Key": f"sk_{HIDDEN}", "Cookie": HIDDEN}
    await client.post("/predict", json=GOOD, headers=admin() | {"Cookie": HIDDEN})
    await client.post(f"/predict?token={HIDDEN}", json=GOOD, headers=secret)
    await client.post("/predict", json=GOOD | {"token": HIDDEN})
    await client.post("/predict", json=GOOD | {"inputs": HIDDEN, "timeout": HIDDEN})
    await client.post("/predict", json=GOOD | {HIDDEN: 1})
    await client.post("/predict", data=f'{{"inputs": "{HIDDEN}')
    await client.post("/predict", json=GOOD | {"model_name": HIDDEN})
    await client.get("/stats", headers={"Authorization": f"Bearer {HIDDEN}"})
    await client.get(f"/logs/{HIDDEN}.log", headers=admin())

    def crash(_: Any) -> Any:
        raise Refuse(500, "a bug")

    torchserve.answer = crash
    await client.post("/predict", json=GOOD | {"inputs": HIDDEN})
    await raw(client, b"GET /livez HTTP/1.1", {"Author ization": HIDDEN})
    await raw(client, f"{HIDDEN} / HTTP/9".encode(), {})
    await client.get("/livez")
    await lines(folder, "api_requests.log", 11)
    texts = await asyncio.to_thread(all_of, folder)
    assert set(texts) == {"server.log", "server_errors.log", "api_requests.log"}
    for name, text in texts.items():
        assert HIDDEN not in text, name
        assert "eyJ" not in text, name
