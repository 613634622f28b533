"""The fake TorchServe behaves as the true one does, in all that the sidecar relies on."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from sidecar.models.worker_start import WorkerStart
from sidecar.scheduling.job_format import ItemHeader, decode_answer, encode_job
from sidecar.torchserve.client import TorchServeClient
from sidecar.torchserve.failures import EngineGone, EngineRefused
from sidecar.torchserve.key_file import KeyFile
from sidecar.torchserve.worker_log import WorkerLog
from tests.fake_torchserve import FakeTorchServe
from tests.heard import predict
from tests.integration.server import Server

pytestmark = pytest.mark.integration


Reached = tuple[list[str], KeyFile]  # the addresses of the three APIs, and the tokens


@pytest.fixture(params=["fake", "true"])
async def reached(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Reached]:
    """How each of the two is reached."""
    if request.param == "fake":
        fake = FakeTorchServe(tmp_path)
        fake.archives = {"example.mar"}
        await fake.start()
        yield [fake.url] * 3, KeyFile(fake.key_file)
        await fake.stop()
    else:
        server: Server = request.getfixturevalue("server")
        folder = server.torchserve_folder()
        urls = [f"unix:{folder}/{api}.sock" for api in ("inference", "management", "metrics")]
        yield urls, KeyFile(folder / "work" / "key_file.json")


@pytest.fixture
async def client(reached: Reached) -> AsyncIterator[TorchServeClient]:
    """The client in front of each of the two; `copy` is a model of the test's own."""
    urls, keys = reached
    async with TorchServeClient(urls[0], urls[1], urls[2], keys) as client:
        yield client
        if await client.describe("copy"):
            await client.unregister("copy")


async def load(client: TorchServeClient) -> None:
    await client.register("example.mar", "copy")
    await WorkerStart(client, WorkerLog(None)).start("copy", 1, 1, 60)


async def test_registered_models_are_described_with_their_ready_workers(
    client: TorchServeClient,
) -> None:
    assert await client.describe("copy") is None
    await load(client)
    model = await client.describe("copy")
    assert model is not None
    assert (model.model_name, model.batch_size, len(model.ready)) == ("copy", 1, 1)
    assert model.ready[0].pid > 0


async def test_the_handler_tells_of_itself_when_asked(client: TorchServeClient) -> None:
    await load(client)
    model = await client.describe("copy", customized=True)
    assert model is not None
    assert model.customized_metadata


async def test_a_job_is_answered_item_by_item(client: TorchServeClient) -> None:
    await load(client)
    bodies = [b"[1]", b"[2]", b"[3]"]
    job = encode_job([ItemHeader(str(n), len(body)) for n, body in enumerate(bodies)], bodies)
    header, answers = decode_answer(await predict(client, "copy", job), 3)
    assert [item.id for item in header.items] == ["0", "1", "2"]
    assert {item.forward_pass for item in header.items} == {3}
    assert header.device == "cpu"
    assert all(answers)


async def test_the_answer_to_a_job_has_the_same_head(
    client: TorchServeClient, reached: Reached
) -> None:
    """The client knows it: such an answer is cut, and not parsed."""
    await load(client)
    (url, *_), keys = reached
    unix = url.startswith("unix:")
    connector = aiohttp.UnixConnector(url[5:]) if unix else aiohttp.TCPConnector()
    session = aiohttp.ClientSession("http://torchserve" if unix else url, connector=connector)
    job = encode_job([ItemHeader("0", 3)], [b"[1]"])
    async with (
        session,
        session.post("/predictions/copy", data=job, headers=keys.headers("inference")) as answer,
    ):
        head = [name.decode() for name, _ in answer.raw_headers]
    assert head == [
        "content-type",
        "x-request-id",
        "Pragma",
        "Cache-Control",
        "Expires",
        "content-length",
        "connection",
    ]


async def test_refusals_have_the_same_status_and_kind(client: TorchServeClient) -> None:
    await load(client)
    seen = []
    for call in (
        client.register("example.mar", "copy"),
        client.register("nowhere.mar", "other"),
        predict(client, "nobody", b"[1]"),
        client.unregister("nobody"),
    ):
        with pytest.raises(EngineRefused) as refusal:
            await call
        seen.append((refusal.value.status, refusal.value.kind))
    assert seen == [
        (409, "ConflictStatusException"),
        (404, "ModelNotFoundException"),
        (404, "ModelNotFoundException"),
        (404, "ModelNotFoundException"),
    ]


async def test_counts_are_per_model(client: TorchServeClient) -> None:
    await load(client)
    job = encode_job([ItemHeader("0", 3)], [b"[1]"])
    before = (await client.fetch_counts()).models.get("copy")
    await predict(client, "copy", job)
    after = (await client.fetch_counts()).models["copy"]
    assert after.jobs - (before.jobs if before else 0) == 1


async def test_a_refused_connection_is_engine_gone() -> None:
    nowhere = "http://127.0.0.1:9"
    async with TorchServeClient(nowhere, nowhere, nowhere, KeyFile(None)) as client:
        assert await client.ping() is False
        with pytest.raises(EngineGone):
            await client.describe("example")
