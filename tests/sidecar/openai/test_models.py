"""GET /v1/models: what is here, by the names that clients use."""

import pytest
from openai import AsyncOpenAI

from tests.sidecar.conftest import Client


async def test_the_models_that_are_here_are_listed(openai: AsyncOpenAI) -> None:
    listed = [model async for model in openai.models.list()]
    names = [model.id for model in listed]
    assert {"echo", "vectors", "hibari_tts", "whisper_tiny_en"} <= set(names)
    assert "disabled" not in names
    owners = {model.id: model.owned_by for model in listed}
    assert (owners["vectors"], owners["other"]) == ("tests", "local")


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("echo", "echo"),
        ("tests/vectors", "vectors"),
        ("tts-1", "hibari_tts"),
        ("whisper-1", "whisper_tiny_en"),
        ("text-embedding-3-large", "vectors"),
    ],
)
async def test_a_model_is_found_by_any_of_its_names(
    openai: AsyncOpenAI, name: str, key: str
) -> None:
    assert (await openai.models.retrieve(name)).id == key


async def test_a_model_without_an_archive_is_not_listed(client: Client) -> None:
    answer = await (await client.get("/v1/models")).json()
    assert {model["state"] for model in answer["data"]} & {"available", "disabled"} == set()


async def test_kserve_clients_read_readiness_from_the_model_object(
    client: Client, openai: AsyncOpenAI
) -> None:
    answer = await (await client.get("/v1/models/echo")).json()
    assert {"name": "echo", "ready": True}.items() <= answer.items()
    assert (await openai.models.retrieve("echo")).id == answer["id"] == "echo"
    listed = await (await client.get("/v1/models")).json()
    assert listed["models"] == [model["id"] for model in listed["data"]]


async def test_a_model_that_sleeps_is_ready_because_a_request_wakes_it(client: Client) -> None:
    answer = await (await client.get("/v1/models/other")).json()
    assert (answer["state"], answer["ready"]) == ("archived", True)
