"""Every refusal below /v1 has OpenAI's form, and its client raises the right exception."""

from typing import Any

import openai as openai_package
import pytest
from openai import AsyncOpenAI

from tests.fake_torchserve import FakeTorchServe
from tests.sidecar.conftest import Client, StartSidecar
from tests.sidecar.openai.conftest import MODELS, openai_of
from tests.sidecar.web.test_refusals_by_limits import bearer


async def refused(openai: AsyncOpenAI, **fields: Any) -> openai_package.APIStatusError:
    with pytest.raises(openai_package.APIStatusError) as refusal:
        await openai.embeddings.create(**{"model": "vectors", "input": "one"} | fields)
    return refusal.value


async def test_an_unknown_model_is_not_found(openai: AsyncOpenAI) -> None:
    refusal = await refused(openai, model="gpt-7")
    assert isinstance(refusal, openai_package.NotFoundError)
    assert (refusal.code, refusal.param) == ("model_not_found", "model")
    assert "gpt-7" in refusal.message
    with pytest.raises(openai_package.NotFoundError):
        await openai.models.retrieve("gpt-7")


@pytest.mark.parametrize("key", ["sk_wrong", "a.wrong.token"])
async def test_a_wrong_key_is_not_authenticated(client: Client, key: str) -> None:
    async with openai_of(client, api_key=key) as stranger:
        refusal = await refused(stranger)
    assert isinstance(refusal, openai_package.AuthenticationError)
    assert (refusal.code, refusal.type) == ("invalid_api_key", "authentication_error")


@pytest.mark.parametrize("key", ["none", "sk-proj-of-openai", "EMPTY"])
async def test_an_api_key_of_another_form_counts_as_absent(client: Client, key: str) -> None:
    async with openai_of(client, api_key=key) as anybody:
        assert [model.id async for model in anybody.models.list()] != []
    response = await client.get("/models", headers={"Authorization": f"Bearer {key}"})
    assert response.status == 401  # elsewhere it is wrong


async def test_an_api_key_is_accepted_where_a_credential_is_required(
    start: StartSidecar,
) -> None:
    client = await start(catalog=MODELS, require_authentication=True)
    token = bearer("ada")["Authorization"].removeprefix("Bearer ")
    async with openai_of(client, api_key=token) as ada:
        assert [model.id async for model in ada.models.list()] != []
    async with openai_of(client) as stranger:
        assert isinstance(await refused(stranger), openai_package.AuthenticationError)
        with pytest.raises(openai_package.AuthenticationError):
            await stranger.audio.transcriptions.create(model="whisper-1", file=b"RIFF")


async def test_too_many_requests_are_rate_limited(start: StartSidecar) -> None:
    client = await start(catalog=MODELS, rate_limit_requests_per_second=0.1, rate_limit_burst=1)
    async with openai_of(client) as eager:
        await refused(eager, model="gpt-7")
        refusal = await refused(eager)
    assert isinstance(refusal, openai_package.RateLimitError)
    assert refusal.code == "rate_limit_exceeded"
    assert int(refusal.response.headers["Retry-After"]) > 0


async def test_a_server_that_cannot_answer_is_an_internal_server_error(
    openai: AsyncOpenAI, torchserve: FakeTorchServe
) -> None:
    torchserve.refusals = [(503, "InternalServerException")] * 2
    refusal = await refused(openai)
    assert isinstance(refusal, openai_package.InternalServerError)
    assert refusal.type == "server_error"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/embeddings", 405), ("POST", "/v1/images/generations", 404)],
)
async def test_a_route_that_is_not_there_is_told_in_the_same_form(
    client: Client, method: str, path: str, status: int
) -> None:
    response = await client.request(method, path)
    assert response.status == status
    assert set(await response.json()) == {"error"}


async def test_unsupported_openai_fields_are_ignored(client: Client) -> None:
    body = {"model": "vectors", "input": [], "user": "ada", "a new field": {"x": 1}}
    response = await client.post("/v1/embeddings", json=body)
    assert (await response.json())["error"]["param"] == "input"
