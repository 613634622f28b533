"""Models with custom handlers: requests reach them as they came, and so do answers."""

import asyncio
import base64
import gzip
import json
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from email import message_from_bytes
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from sidecar.program import PROGRAM
from sidecar.routes.handler_answers import MAX_INFLATED_BYTES
from tests.fake_torchserve import FakeTorchServe, echo, error
from tests.otlp_receiver import OtlpReceiver
from tests.sidecar.catalog.test_own_archives import as_mar, files
from tests.sidecar.conftest import CATALOG, Client, StartSidecar
from tests.waiting import LIMIT_SECONDS, let_the_loop_turn, until

OWN: dict[str, Any] = {"handler": "own", "auto_load": True}
NONE: Mapping[str, str] = {}
JSON = {"Content-Type": "application/json"}
Start = Callable[..., Awaitable[Client]]


@pytest.fixture
def start_own(start: StartSidecar, torchserve: FakeTorchServe, tmp_path: Path) -> Start:
    """Starts a sidecar with the model `Mine`, of batches of *batch_size*."""
    store = tmp_path / "store"
    store.mkdir()
    (store / "Mine.mar").touch()
    torchserve.archives.add("Mine.mar")

    async def start_own(
        batch_size: int = 1, inference: Mapping[str, Any] = NONE, **settings: Any
    ) -> Client:
        given = {"batch_size": batch_size, "queue_size": 8, **inference}
        entry = OWN | {"inference": given}
        catalog = {"Mine": entry, "echo": CATALOG["echo"]}
        return await start(catalog=catalog, model_store=store, **settings)

    return start_own


@pytest.fixture
def start_two(start: StartSidecar, torchserve: FakeTorchServe, tmp_path: Path) -> Start:
    """Starts a sidecar with two models that have custom handlers, `Mine` and `Other`."""
    store = tmp_path / "store"
    store.mkdir()
    catalog = {"Mine": OWN, "Other": OWN}
    for name in catalog:
        (store / f"{name}.mar").touch()
        torchserve.archives.add(f"{name}.mar")
    return partial(start, catalog=catalog, model_store=store)


def ask(
    client: Client, body: bytes = b"x", headers: Mapping[str, str] = NONE
) -> "asyncio.Task[tuple[int, bytes]]":
    """Asks `Mine`, in a task of its own."""

    async def ask() -> tuple[int, bytes]:
        response = await client.post("/predictions/Mine", data=body, headers=headers)
        return response.status, await response.read()

    return asyncio.create_task(ask())


async def test_the_whole_request_reaches_the_handler_but_its_credentials(
    start_own: Start, torchserve: FakeTorchServe
) -> None:
    client = await start_own()
    headers = {"Content-Type": "image/png", "X-Mine": "yes", "X-API-Key": "sk_0123"}
    refused = await client.post("/predictions/Mine?size=3", data=b"\x00\xff", headers=headers)
    assert refused.status == 401
    del headers["X-API-Key"]
    response = await client.post("/predictions/Mine?size=3", data=b"\x00\xff", headers=headers)
    assert (response.status, await response.read()) == (200, b"\x00\xff")
    (request,) = torchserve.requests
    assert request.path_qs == "/predictions/Mine?size=3"
    assert request.headers["X-Mine"] == "yes"
    assert request.headers["Content-Type"] == "image/png"
    assert request.headers["Authorization"] == f"Bearer {torchserve.inference_key}"


@pytest.mark.parametrize(
    "path",
    [
        "/predictions/Mine",
        "/predictions/Mine/1.0",
        "/predictions/Mine/1.0/en",
        "/explanations/Mine",
        "/explanations/Mine/1.0",
        "/invocations",
        "/models/Mine/invoke",
    ],
)
async def test_a_file_sent_by_put_is_answered_as_one_sent_by_post(
    start_own: Start, torchserve: FakeTorchServe, path: str
) -> None:
    """As `curl -T` sends it, by which most people call TorchServe."""
    client = await start_own()
    response = await client.put(path, data=b"x")
    assert (response.status, await response.read()) == (200, b"x")
    assert torchserve.requests[-1].method == "POST"
    assert (await client.delete(path)).status == 405


async def test_kserves_instances_may_be_put_too(start_own: Start) -> None:
    client = await start_own()
    response = await client.put("/v1/models/Mine:predict", json={"instances": [1]})
    assert await response.json() == {"predictions": [1]}


async def test_a_prediction_is_asked_for_by_get_too_but_by_no_page_elsewhere(
    start_own: Start,
) -> None:
    client, path = await start_own(), "/predictions/Mine/1.0/en"
    response = await client.get(path, data=b"x")
    assert (response.status, await response.read()) == (200, b"x")
    for site, status in (("same-origin", 200), ("same-site", 403), ("cross-site", 403)):
        response = await client.get(path, headers={"Sec-Fetch-Site": site})
        assert response.status == status


async def test_a_version_and_an_explanation_are_asked_for_by_their_paths(
    start_own: Start, torchserve: FakeTorchServe
) -> None:
    torchserve.versions["Mine.mar"] = "2.0"
    client = await start_own()
    await client.post("/predictions/Mine/2.0", data=b"x")
    await client.post("/predictions/Mine/2.0/en/a b", data=b"x")
    await client.post("/explanations/Mine", data=b"x")
    await client.post("/explanations/Mine/2.0", data=b"x")
    paths = [request.path for request in torchserve.requests]
    assert paths == [
        "/predictions/Mine/2.0",
        "/predictions/Mine/2.0/en/a b",
        "/explanations/Mine",
        "/explanations/Mine/2.0",
    ]


async def test_a_version_that_lies_in_the_model_store_is_loaded_when_it_is_asked_for(
    start_own: Start, torchserve: FakeTorchServe, tmp_path: Path
) -> None:
    client = await start_own()
    as_mar(tmp_path / "store" / "second.mar", files("Mine", version="2.0"))
    torchserve.archives.add("second.mar")
    torchserve.versions["second.mar"] = "2.0"
    for api in ("predictions", "explanations"):
        assert (await client.post(f"/{api}/Mine/2.0", data=b"x")).status == 200
        assert torchserve.answered[-1] == ("Mine", "2.0")
    assert await ask(client) == (200, b"x")
    assert torchserve.answered[-1] == ("Mine", "1.0")


@pytest.mark.parametrize("unusual", [NONE, {"Content-Encoding": "identity"}])
async def test_a_request_may_take_as_long_as_its_archive_allows(
    start_own: Start, torchserve: FakeTorchServe, unusual: Mapping[str, str]
) -> None:
    client = await start_own(max_timeout_seconds=0.2, inference={"job_timeout_seconds": 600})
    torchserve.hold()
    headers = {"X-Timeout": "500", **unusual}
    waiting = ask(client, headers=headers)
    await until(lambda: torchserve.requests)
    torchserve.release()
    assert (await waiting)[0] == 200
    assert (await ask(client, headers={"X-Timeout": "601", **unusual}))[0] == 422


async def test_status_headers_and_media_type_come_from_the_handler(
    start_own: Start, torchserve: FakeTorchServe
) -> None:
    async def respond(request: web.Request, body: bytes) -> web.StreamResponse:
        headers = {"Content-Type": "text/csv", "X-Rows": "2"}
        return web.Response(body=b"a,b\n", status=418, reason="Teapot", headers=headers)

    torchserve.respond = respond
    client = await start_own(batch_size=4)
    response = await client.post("/predictions/Mine", data=b"x")
    assert (response.status, response.reason) == (418, "Teapot")
    assert response.headers["Content-Type"] == "text/csv"
    assert response.headers["X-Rows"] == "2"
    assert len(torchserve.requests) == 1


async def test_a_worker_has_two_batches_in_flight_and_the_rest_waits_by_priority(
    start_own: Start, torchserve: FakeTorchServe
) -> None:
    client = await start_own(batch_size=2)
    torchserve.hold()
    first = [ask(client) for _ in range(4)]
    await until(lambda: torchserve.busy == 4)
    later = [ask(client, b"low"), ask(client, b"high", {"X-Priority": "10"})]
    assert client.app is not None
    models = client.app[PROGRAM].models
    await until(lambda: models.queued == 2)
    assert torchserve.busy == 4
    order: list[bytes] = []

    async def respond(request: web.Request, body: bytes) -> web.StreamResponse:
        order.append(body)
        return web.Response(body=body)

    torchserve.respond = respond
    torchserve.release()
    await asyncio.gather(*first, *later)
    assert order.index(b"high") < order.index(b"low")
    assert torchserve.most_busy == 4


async def test_a_traced_crowd_has_two_batches_in_flight_too(
    start_own: Start, torchserve: FakeTorchServe
) -> None:
    receiver = OtlpReceiver()
    await receiver.start()
    client = await start_own(batch_size=2, otlp_endpoint=receiver.url)
    torchserve.hold()
    crowd = [ask(client) for _ in range(8)]
    await until(lambda: torchserve.busy >= 4)
    await let_the_loop_turn()
    assert torchserve.busy == 4
    torchserve.release()
    await asyncio.gather(*crowd)
    assert torchserve.most_busy == 4
    await receiver.stop()


@pytest.mark.parametrize("continuous", [False, True])
async def test_a_request_waits_for_the_running_batch_unless_it_can_join(
    start_own: Start, torchserve: FakeTorchServe, continuous: bool
) -> None:
    client = await start_own(batch_size=4, inference={"continuous_batching": continuous})
    torchserve.hold()
    first = ask(client)
    await until(lambda: torchserve.busy == 1)
    second = ask(client)
    assert client.app is not None
    active = client.app[PROGRAM].statistics
    await until(lambda: active.active == 2)
    await let_the_loop_turn()
    assert torchserve.busy == (2 if continuous else 1)
    torchserve.release()
    assert (await first, await second) == ((200, b"x"), (200, b"x"))


async def test_a_failed_batch_is_retried_one_by_one(
    start_own: Start, torchserve: FakeTorchServe
) -> None:
    alone: list[bytes] = []

    async def respond(request: web.Request, body: bytes) -> web.StreamResponse:
        together = torchserve.busy
        await let_the_loop_turn()  # by now the rest of a batch has arrived
        if together == 1 and torchserve.busy == 1:
            alone.append(body)
        if body == b"bad" or torchserve.busy > 1:
            return error(503, "InternalServerException", "Prediction failed")
        return web.Response(body=body)

    torchserve.respond = respond
    client = await start_own(batch_size=4)
    answers = await asyncio.gather(*(ask(client, body) for body in (b"a", b"bad", b"c")))
    assert [status for status, _ in answers] == [200, 503, 200]
    assert answers[0][1] == b"a"
    assert json.loads(answers[1][1])["message"] == "Prediction failed"
    assert b"bad" in alone


async def test_a_handlers_exception_is_told_once_where_no_batches_are_made(
    start_own: Start, torchserve: FakeTorchServe
) -> None:
    async def respond(request: web.Request, body: bytes) -> web.StreamResponse:
        return error(422, "InternalServerException", "not for us")

    torchserve.respond = respond
    client = await start_own()
    status, body = await ask(client)
    assert (status, json.loads(body)["message"]) == (422, "not for us")
    assert len(torchserve.requests) == 1


@pytest.mark.parametrize(("deaths", "status"), [(1, 200), (2, 503)])
async def test_a_request_whose_worker_died_is_tried_once_more(
    start_own: Start, torchserve: FakeTorchServe, deaths: int, status: int
) -> None:
    async def respond(request: web.Request, body: bytes) -> web.StreamResponse:
        if len(torchserve.requests) <= deaths:
            return error(500, "InternalServerException", "Worker died.")
        return web.Response(body=body)

    torchserve.respond = respond
    client = await start_own()
    assert (await ask(client))[0] == status


async def test_a_request_that_torchserve_has_no_room_for_is_sent_again(
    start_own: Start, torchserve: FakeTorchServe
) -> None:
    async def respond(request: web.Request, body: bytes) -> web.StreamResponse:
        if len(torchserve.requests) <= 3:
            return error(503, "ServiceUnavailableException", "no worker")
        return web.Response(body=body)

    torchserve.respond = respond
    client = await start_own()
    assert await ask(client) == (200, b"x")


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_large_answer_comes_whole(
    start_own: Start, torchserve: FakeTorchServe, streamed: bool
) -> None:
    large = bytes(range(256)) * 12_000  # more than is read ahead of who takes it

    async def respond(request: web.Request, body: bytes) -> web.StreamResponse:
        response = web.StreamResponse()
        if not streamed:
            response.content_length = len(large)
        await response.prepare(request)
        await response.write(large)
        await response.write_eof()
        return response

    torchserve.respond = respond
    client = await start_own()
    assert [await ask(client) for _ in range(2)] == [(200, large)] * 2


async def test_a_streamed_answer_comes_piece_by_piece(
    start_own: Start, torchserve: FakeTorchServe
) -> None:
    goes_on = asyncio.Event()

    async def respond(request: web.Request, body: bytes) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        await goes_on.wait()
        await response.write(b"second")
        await response.write_eof()
        return response

    torchserve.respond = respond
    client = await start_own()
    response = await client.post("/predictions/Mine", data=b"x")
    assert await response.content.readany() == b"first"
    goes_on.set()
    assert await response.read() == b"second"


async def test_a_streamed_answer_that_is_cut_short_has_no_end(
    start_own: Start, torchserve: FakeTorchServe
) -> None:
    async def respond(request: web.Request, body: bytes) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        assert request.transport is not None
        request.transport.close()
        return response

    torchserve.respond = respond
    client = await start_own()
    with pytest.raises(aiohttp.ClientError):
        await (await client.post("/predictions/Mine", data=b"x")).read()
    torchserve.respond = echo
    assert await ask(client) == (200, b"x")


async def test_a_client_that_leaves_a_stream_frees_its_place(
    start_own: Start, torchserve: FakeTorchServe
) -> None:
    async def respond(request: web.Request, body: bytes) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(200):
            await response.write(bytes(100))
            await asyncio.sleep(0)
        await response.write_eof()
        return response

    torchserve.respond = respond
    client = await start_own()
    for _ in range(3):
        response = await client.post("/predictions/Mine", data=b"x")
        await response.content.readany()
        response.close()
    await until(lambda: torchserve.busy == 0)
    torchserve.respond = echo
    assert await ask(client) == (200, b"x")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-Priority": "11"}, 422),
        ({"X-Priority": "high"}, 422),
        ({"X-Timeout": "0"}, 422),
        ({"X-Timeout": "nan"}, 422),
        ({"X-Timeout": "0.05"}, 504),
    ],
)
async def test_refusals_have_torchserves_fields_too(
    start_own: Start, torchserve: FakeTorchServe, headers: dict[str, str], status: int
) -> None:
    client = await start_own()
    torchserve.hold()
    answered, body = await ask(client, headers=headers)
    assert answered == status
    told = json.loads(body)
    assert (told["code"], told["status_code"]) == (status, status)
    assert told["type"].endswith("Exception")
    assert told["message"] == told["error"]


async def test_an_unknown_model_is_torchserves_404(client: Client) -> None:
    response = await client.post("/predictions/nobody", data=b"x")
    assert response.status == 404
    assert (await response.json())["type"] == "ModelNotFoundException"


async def test_a_credential_that_is_needed_comes_in_a_header(start_own: Start) -> None:
    client = await start_own(require_authentication=True)
    assert (await ask(client))[0] == 401


@pytest.mark.parametrize(
    ("given", "kind", "body"),
    [
        ({"a": [1, 2]}, "application/json", b'{"a":[1,2]}'),
        ("text", "application/json", b'"text"'),
        ({"data": base64.b64encode(b"\x00\x01").decode()}, "application/octet-stream", b"\x00\x01"),
        ("data:image/png;base64," + base64.b64encode(b"png").decode(), "image/png", b"png"),
    ],
)
async def test_predict_gives_the_handler_json_or_bytes(
    start_own: Start, torchserve: FakeTorchServe, given: Any, kind: str, body: bytes
) -> None:
    client = await start_own()
    asked = {"model_name": "mine", "inputs": given}
    response = await client.post("/predict", data=json.dumps(asked, separators=(",", ":")))
    assert response.status == 200
    (request,) = torchserve.requests
    assert request.content_type == kind
    result = (await response.json())["result"]
    as_uri = f"data:{kind};base64,{base64.b64encode(body).decode()}"
    assert result == (json.loads(body) if kind == "application/json" else as_uri)


async def test_predict_tells_each_input_what_its_handler_says(
    start_own: Start, torchserve: FakeTorchServe
) -> None:
    async def respond(request: web.Request, body: bytes) -> web.StreamResponse:
        if body == b'"bad"':
            return web.json_response({"error": "no such word"}, status=404)
        return web.Response(body=b"plain words")

    torchserve.respond = respond
    client = await start_own(batch_size=4)
    asked = {"model_name": "Mine", "inputs": ["good", "bad", "data:;base64,???"]}
    response = await client.post("/predict", json=asked)
    result = (await response.json())["result"]
    words = base64.b64encode(b"plain words").decode()
    assert result[0].endswith(words)
    assert "no such word" in result[1]["error"]
    assert "base64" in result[2]["error"]
    alone = await client.post("/predict", json={"model_name": "Mine", "inputs": "bad"})
    assert alone.status == 404


@pytest.mark.parametrize("line_break", ["\r\n", "\n", "\r"])
async def test_a_data_uri_smuggles_no_request_to_torchserve(
    start_own: Start, torchserve: FakeTorchServe, line_break: str
) -> None:
    client = await start_own()
    other = ["POST /predictions/Mine HTTP/1.1", "Host: x", "X: "]
    smuggled = ["text/plain", "Content-Length: 0", "", *other]
    given = f"data:{line_break.join(smuggled)};base64,eA=="
    response = await client.post("/predict", json={"model_name": "Mine", "inputs": given})
    assert "expected base64 in the data URI" in (await response.json())["detail"]
    assert await ask(client, b"honest") == (200, b"honest")
    assert [request.content_length for request in torchserve.requests] == [6]


@pytest.mark.parametrize("unusual", [NONE, {"Content-Encoding": "identity"}])
async def test_what_a_handler_has_compressed_is_passed_on_as_it_is(
    start_own: Start, torchserve: FakeTorchServe, unusual: Mapping[str, str]
) -> None:
    async def respond(request: web.Request, body: bytes) -> web.StreamResponse:
        return web.Response(body=body, headers={"Content-Encoding": "gzip"})

    torchserve.respond = respond
    client = await start_own()
    for made in (gzip.compress(b"plain words"), b"no gzip at all"):
        response = await client.post(
            "/predictions/Mine", data=made, headers=unusual, auto_decompress=False
        )
        assert (response.status, await response.read()) == (200, made)
        assert response.headers["Content-Encoding"] == "gzip"


async def test_predict_shows_what_a_handler_has_compressed(
    start_own: Start, torchserve: FakeTorchServe
) -> None:
    async def respond(request: web.Request, body: bytes) -> web.StreamResponse:
        made = gzip.compress(b'{"a": 1}') if body == b"1" else b"no gzip"
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
        return web.Response(body=made, headers=headers)

    torchserve.respond = respond
    client = await start_own()
    for inputs, result in ((1, {"a": 1}), (2, "data:application/json;base64,bm8gZ3ppcA==")):
        response = await client.post("/predict", json={"model_name": "Mine", "inputs": inputs})
        assert (await response.json())["result"] == result


class HeldThreads(ThreadPoolExecutor):
    """Threads that begin no work before they may."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.may_work = threading.Event()

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        self.asked += 1

        def once_it_may() -> Any:
            self.may_work.wait(LIMIT_SECONDS)
            return work(*args, **kwargs)

        return super().submit(once_it_may)


@pytest.mark.parametrize("compressed", [True, False])
async def test_others_are_answered_while_predict_shows_a_large_answer(
    start_own: Start, torchserve: FakeTorchServe, compressed: bool
) -> None:
    text = b'"' + b"a" * 2_000_000 + b'"'

    async def respond(request: web.Request, body: bytes) -> web.StreamResponse:
        if body == b"1":
            return web.Response(body=body, content_type="application/json")
        headers = {"Content-Type": "application/json"}
        if not compressed:
            return web.Response(body=text, headers=headers)
        return web.Response(
            body=gzip.compress(text), headers=headers | {"Content-Encoding": "gzip"}
        )

    async def predict(inputs: int) -> Any:
        response = await client.post("/predict", json={"model_name": "Mine", "inputs": inputs})
        return (await response.json())["result"]

    torchserve.respond = respond
    client = await start_own()
    threads = HeldThreads()
    asyncio.get_running_loop().set_default_executor(threads)
    large = asyncio.create_task(predict(2))
    try:
        await until(lambda: threads.asked > 0)
        assert await predict(1) == 1
        assert not large.done()
    finally:
        threads.may_work.set()
    assert len(await large) == 2_000_000


async def test_what_inflates_beyond_the_bound_of_a_request_is_shown_compressed(
    start_own: Start, torchserve: FakeTorchServe
) -> None:
    """The bound is that of all its answers together."""
    made = gzip.compress(b'"' + b"a" * (MAX_INFLATED_BYTES // 2) + b'"')

    async def respond(request: web.Request, body: bytes) -> web.StreamResponse:
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
        return web.Response(body=made, headers=headers)

    torchserve.respond = respond
    client = await start_own(batch_size=2)
    response = await client.post("/predict", json={"model_name": "Mine", "inputs": [[1], [2]]})
    first, second = (await response.json())["result"]
    assert first == "a" * (MAX_INFLATED_BYTES // 2)
    assert second == f"data:application/json;base64,{base64.b64encode(made).decode()}"


async def test_our_own_models_answer_there_too(start_own: Start) -> None:
    client = await start_own()
    response = await client.post("/predictions/echo", data=b"[1, 2]", headers=JSON)
    assert await response.json() == [1, 2]
    response = await client.post(
        "/predictions/echo", data=b"words", headers={"Content-Type": "text/plain"}
    )
    assert await response.json() == "words"
    response = await client.post("/predictions/echo", data=b"{broken", headers=JSON)
    assert response.status == 400


async def test_ping_says_what_torchserve_says(start_own: Start) -> None:
    client = await start_own()
    response = await client.options("/ping")
    assert (response.status, await response.text()) == (200, '{\n  "status": "Healthy"\n}\n')


async def test_a_torchserve_with_an_unhealthy_model_is_there_nevertheless(
    start_own: Start, torchserve: FakeTorchServe
) -> None:
    torchserve.unhealthy = True
    client = await start_own()
    assert (await client.get("/health")).status == 200
    assert await ask(client) == (200, b"x")


async def test_a_slash_at_the_end_of_the_path_makes_no_difference(
    start_own: Start, torchserve: FakeTorchServe
) -> None:
    client = await start_own()
    for path in ("/predictions/Mine", "/predictions/Mine/1.0", "/explanations/Mine"):
        assert (await client.put(f"{path}/", data=b"x")).status == 200
        assert torchserve.requests[-1].path == path
    metrics = await (await client.get("/metrics")).text()
    assert 'sidecar_requests_total{route="/predictions/{name}",status="200"} 1.0' in metrics


async def rows(request: web.Request, body: bytes) -> web.StreamResponse:
    """Answer with the row that TorchServe would make of the request."""
    if request.content_type != "multipart/form-data":
        return web.json_response({"body": json.loads(body)})
    head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
    form, row = message_from_bytes(head + body), {}
    for part in form.walk():
        if part.is_multipart():
            continue
        assert part.get_content_type() == "application/json"
        assert part.get_filename(), "of a part without, TorchServe ignores the type"
        name = part.get_param("name", header="Content-Disposition")
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        row[name] = json.loads(content)
    return web.json_response(row)


@pytest.mark.parametrize(
    ("instance", "row"),
    [
        ({"data": "aGk=", "target": 0}, {"data": "aGk=", "target": 0}),
        ({"data": {"prompt": "\u4e2d"}}, {"data": {"prompt": "\u4e2d"}}),
        ({"body": [1, None]}, {"body": [1, None]}),
        ({"text": "hi"}, {"text": "hi", "body": {"text": "hi"}}),
        ({'a"b': 1}, {"body": {'a"b': 1}}),
        ({"a\r\nb": 1}, {"body": {"a\r\nb": 1}}),
        ([1, 2.5], {"body": [1, 2.5]}),
        ("text", {"body": "text"}),
    ],
)
async def test_the_fields_of_kserves_instances_are_those_of_the_handlers_row(
    start_own: Start, torchserve: FakeTorchServe, instance: Any, row: Any
) -> None:
    torchserve.respond = rows
    client = await start_own(batch_size=4)
    asked = {"instances": [instance, instance]}
    response = await client.post("/v1/models/Mine:predict", json=asked)
    assert await response.json() == {"predictions": [row, row]}
    assert len(torchserve.requests) == 2
    response = await client.post("/v1/models/Mine:explain", json=asked)
    assert await response.json() == {"explanations": [row, row]}
    assert torchserve.requests[-1].path == "/explanations/Mine"


async def test_kserves_instances_are_inputs_of_our_models(client: Client) -> None:
    response = await client.post("/v1/models/echo:predict", json={"instances": [[1, 2], [3]]})
    assert await response.json() == {"predictions": [[1, 2], [3]]}


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"[]", 422), (b'{"instances": []}', 422), (b'{"instances": 1}', 422)],
)
async def test_kserves_refusals_have_torchserves_fields(
    client: Client, body: bytes, status: int
) -> None:
    response = await client.post("/v1/models/echo:predict", data=body)
    assert response.status == status
    assert (await response.json())["code"] == status


async def test_the_error_of_one_instance_is_the_answer(
    start_own: Start, torchserve: FakeTorchServe
) -> None:
    async def respond(request: web.Request, body: bytes) -> web.StreamResponse:
        return web.json_response({"message": "no"}, status=404 if body == b"2" else 200)

    torchserve.respond = respond
    client = await start_own()
    response = await client.post("/v1/models/Mine:predict", json={"instances": [1, 2]})
    assert response.status == 404


async def test_sagemakers_requests_find_their_model(
    start_own: Start, torchserve: FakeTorchServe
) -> None:
    client = await start_own()
    for path in ("/invocations", "/invocations?model_name=Mine", "/models/Mine/invoke"):
        response = await client.post(path, data=b"x")
        assert (response.status, await response.read()) == (200, b"x")
    paths = [request.path_qs for request in torchserve.requests]
    assert paths == ["/predictions/Mine", "/invocations?model_name=Mine", "/models/Mine/invoke"]


@pytest.mark.parametrize("path", ["/invocations?model_name=Mine", "/models/Mine/invoke"])
async def test_sagemakers_requests_may_be_got_but_by_no_page_elsewhere(
    start_own: Start, torchserve: FakeTorchServe, path: str
) -> None:
    """TorchServe looks at no method, and gives the query to the handler."""
    client = await start_own()
    assert (await client.get(path, params={"size": "3"})).status == 200
    assert torchserve.requests[-1].query["size"] == "3"
    response = await client.get(path, headers={"Sec-Fetch-Site": "cross-site"})
    assert response.status == 403


async def test_with_several_models_sagemakers_request_names_one(client: Client) -> None:
    assert (await client.post("/invocations", data=b"x")).status == 422
    response = await client.post("/invocations?model_name=echo", data=b"[1]")
    assert await response.json() == [1]


def multipart(*fields: tuple[str, bytes]) -> bytes:
    parts = [
        b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (name.encode(), value)
        for name, value in fields
    ]
    return b"".join(parts) + b"--b--\r\n"


URLENCODED = {"Content-Type": "application/x-www-form-urlencoded"}
MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}
FORMS: dict[str, tuple[bytes, Mapping[str, str], int]] = {
    "fields": (b"data=x&model_name=Mine", URLENCODED, 200),
    "parts": (multipart(("data", b"x"), ("model_name", b"Mine")), MULTIPART, 200),
    "large parts": (multipart(("data", bytes(200_000)), ("model_name", b"Mine")), MULTIPART, 200),
    "no such model": (b"model_name=Yours", URLENCODED, 404),
    "no name in fields": (b"data=x", URLENCODED, 422),
    "no name in parts": (multipart(("data", b"x")), MULTIPART, 422),
    "too long a name": (multipart(("model_name", b"M" * 1000)), MULTIPART, 422),
    "too many fields": (b"a=1&" * 1001 + b"model_name=Mine", URLENCODED, 422),
    "no form": (b"model_name=Mine", MULTIPART, 422),
    "no boundary": (b"x", {"Content-Type": "multipart/form-data"}, 422),
    "no type": (b"model_name=Mine", {"Content-Type": "text/plain"}, 422),
}


@pytest.mark.parametrize("name", FORMS)
async def test_a_form_names_sagemakers_model(
    start_two: Start, torchserve: FakeTorchServe, name: str
) -> None:
    body, headers, status = FORMS[name]
    client = await start_two()
    response = await client.post("/invocations", data=body, headers=headers)
    assert response.status == status, await response.text()
    if status == 200:
        assert await response.read() == body
        assert torchserve.requests[-1].path == "/predictions/Mine"


API_OF = {"predict": "predictions", "explain": "explanations"}


@pytest.mark.parametrize("verb", API_OF)
async def test_a_form_that_kserves_path_gets_reaches_the_handler_as_it_came(
    start_own: Start, torchserve: FakeTorchServe, verb: str
) -> None:
    """As in TorchServe: its fields are those of the row, and the handler's answer is the answer."""
    client = await start_own()
    for body, headers in ((b"data=x", URLENCODED), (multipart(("data", b"x")), MULTIPART)):
        response = await client.post(f"/v1/models/Mine:{verb}", data=body, headers=headers)
        assert (response.status, await response.read()) == (200, body)
        assert torchserve.requests[-1].path == f"/{API_OF[verb]}/Mine"


async def test_curl_calls_kserves_json_a_form(start_own: Start) -> None:
    client = await start_own()
    body = b'{"instances": [1]}'
    response = await client.post("/v1/models/Mine:predict", data=body, headers=URLENCODED)
    assert await response.json() == {"predictions": [1]}


async def test_a_custom_handler_explains_what_it_predicts_by_kserves_second_version(
    start_own: Start, torchserve: FakeTorchServe
) -> None:
    client = await start_own()
    body = {"inputs": [{"name": "input", "shape": [1], "datatype": "INT64", "data": [1]}]}
    response = await client.post("/v2/models/Mine/explain", json=body)
    assert (response.status, await response.json()) == (200, body)
    assert torchserve.requests[-1].path == "/explanations/Mine"
    for name, status in (("echo", 400), ("nobody", 404)):
        response = await client.post(f"/v2/models/{name}/explain", json=body)
        assert (response.status, "error" in await response.json()) == (status, True)


async def test_ping_looks_at_no_method(start_own: Start) -> None:
    client = await start_own()
    for method in ("GET", "POST", "PUT", "OPTIONS"):
        response = await client.request(method, "/ping")
        assert (response.status, await response.json()) == (200, {"status": "Healthy"}), method


VALUES = {  # as they come, and as Java reads them: a character for a byte
    b"zw\xf6lf": "zw\xf6lf",
    "zwölf €".encode(): "zwölf €".encode().decode("latin-1"),
    b"a\tb": "a\tb",
    b"\x80\xff": "\x80\xff",
}


@pytest.mark.parametrize("path", ["/predictions/Mine", "/predictions/Mine?size=3"])
async def test_headers_that_are_no_ascii_reach_the_handler(
    start_own: Start, torchserve: FakeTorchServe, path: str
) -> None:
    """On the fast path and on the other; TorchServe reads the same bytes as from the client."""
    client = await start_own()
    for value, read in VALUES.items():
        reader, writer = await asyncio.open_connection(client.host, client.port)
        head = f"POST {path} HTTP/1.1\r\nHost: {client.host}\r\nContent-Length: 1\r\nX-Mine: "
        writer.write(head.encode() + value + b"\r\nConnection: close\r\n\r\nx")
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()
        await writer.wait_closed()
        got = torchserve.requests[-1].headers["X-Mine"]
        assert got.encode("utf-8", "surrogateescape").decode("latin-1") == read


@pytest.mark.parametrize("on", [False, True])
async def test_torchserves_metrics_are_there_by_a_setting(start_own: Start, on: bool) -> None:
    client = await start_own(torchserve_metrics=on)
    await ask(client)
    text = await (await client.get("/metrics")).text()
    assert "sidecar_requests_total" in text
    assert ("ts_inference_requests_total" in text) is on


class Worker:
    """A worker of TorchServe's: it waits 5 ms for more once it has a request, and then runs."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self._gathering: asyncio.Task[None] | None = None
        self._free = asyncio.Lock()
        self._size = 0

    async def respond(self, request: web.Request, body: bytes) -> web.StreamResponse:
        if self._gathering is None:
            self._gathering = asyncio.create_task(self._run())
        self._size += 1
        await asyncio.shield(self._gathering)
        return web.Response(body=body)

    async def _run(self) -> None:
        async with self._free:
            await asyncio.sleep(0.005)
            self.batches.append(self._size)
            self._gathering, self._size = None, 0
            await asyncio.sleep(0.12)


async def test_clients_that_ask_in_a_circle_share_their_batches(
    start_own: Start, torchserve: FakeTorchServe
) -> None:
    worker = Worker()
    torchserve.respond = worker.respond
    client = await start_own(batch_size=4)

    async def circle(pause: float) -> None:
        for _ in range(6):
            assert (await ask(client))[0] == 200
            await asyncio.sleep(pause)

    await asyncio.gather(*(circle(pause) for pause in (0.0, 0.012, 0.024)))
    assert len(worker.batches) <= 8, worker.batches  # 18 requests


async def test_a_lone_client_waits_for_nobody(start_own: Start, torchserve: FakeTorchServe) -> None:
    gate = asyncio.Event()

    async def respond(request: web.Request, body: bytes) -> web.StreamResponse:
        await asyncio.sleep(0.2)
        await gate.wait()
        return web.Response(body=body)

    torchserve.respond = respond
    client = await start_own(batch_size=4)
    assert client.app is not None
    gate.set()
    await ask(client)
    gate.clear()
    dispatcher = client.app[PROGRAM].models["Mine"].dispatcher
    asked = ask(client)
    await until(lambda: torchserve.busy == 1)
    assert len(dispatcher.queue) == 0
    gate.set()
    await asked
