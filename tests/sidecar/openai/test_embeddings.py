"""POST /v1/embeddings: what OpenAI's client asks for and how it is answered."""

import base64
import math
import struct
from typing import Any

import openai as openai_package
import pytest
from openai import AsyncOpenAI

from tests.fake_torchserve import FakeTorchServe, Refuse, Told
from tests.sidecar.conftest import Client

VECTOR = [0.6, 0.0, 0.8]


@pytest.fixture(autouse=True)
def a_model(torchserve: FakeTorchServe) -> None:
    """Each word of a text is a token."""

    def answer(text: str) -> Told:
        if "refuse" in text:
            raise Refuse(400, "The text is not to be read")
        return Told(VECTOR, {"tokens": len(text.split())})

    torchserve.answer = answer


async def test_each_text_has_its_vector_and_all_tokens_are_counted(openai: AsyncOpenAI) -> None:
    texts = ["one two three", "four"]
    answer = await openai.embeddings.create(model="vectors", input=texts)
    assert [each.index for each in answer.data] == [0, 1]
    for each in answer.data:
        assert each.embedding == pytest.approx(VECTOR)
    assert answer.model == "vectors"
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == 4


@pytest.mark.parametrize("name", ["text-embedding-3-small", "tests/vectors", "Vectors"])
async def test_every_name_of_the_model_is_known(openai: AsyncOpenAI, name: str) -> None:
    answer = await openai.embeddings.create(model=name, input="one", encoding_format="float")
    assert answer.data[0].embedding == VECTOR
    assert answer.model == name


async def test_base64_holds_32_bit_numbers(client: Client) -> None:
    body = {"model": "vectors", "input": "one", "encoding_format": "base64"}
    answer = await (await client.post("/v1/embeddings", json=body)).json()
    numbers = struct.unpack("<3f", base64.b64decode(answer["data"][0]["embedding"]))
    assert numbers == pytest.approx(VECTOR)


async def test_fewer_dimensions_are_the_first_ones_at_the_same_length(openai: AsyncOpenAI) -> None:
    answer = await openai.embeddings.create(model="vectors", input="one", dimensions=2)
    assert answer.data[0].embedding == pytest.approx([1.0, 0.0])


async def test_a_vector_that_has_another_length_is_only_cut(
    openai: AsyncOpenAI, torchserve: FakeTorchServe
) -> None:
    torchserve.answer = lambda _: Told([3.0, 4.0, 12.0], {"tokens": 1})
    answer = await openai.embeddings.create(model="vectors", input="one", dimensions=2)
    assert math.hypot(*answer.data[0].embedding) == pytest.approx(5.0)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"dimensions": 4}, "dimensions: must be at most 3"),
    ({"dimensions": 0}, "dimensions: Expected `int` >= 1"),
    ({"input": []}, "input: must not be empty"),
    ({"input": [1, 2, 3]}, "input: expected a text or a list of texts; tokens are not supported"),
    (
        {"input": [[1, 2], [3]]},
        "input: expected a text or a list of texts; tokens are not supported",
    ),
    (
        {"input": {"text": "x"}},
        "input: expected a text or a list of texts; tokens are not supported",
    ),
    ({"input": ["one", 2]}, "input: a batch must be of one kind"),
    ({"input": ["one", "refuse"]}, "inputs: The text is not to be read"),
    ({"input": ["x"] * 1025}, "input: at most 1024 inputs in one request"),
    ({"encoding_format": "hex"}, "encoding_format: Invalid enum value 'hex'"),
    ({"model": "echo"}, "model: echo is not an embedding model"),
    ({"timeout": 1e6}, "timeout: must be at most 300 seconds"),
]


@pytest.mark.parametrize(("fields", "rule"), REFUSED)
async def test_an_unsupported_embedding_request_names_the_field(
    client: Client, openai: AsyncOpenAI, fields: dict[str, Any], rule: str
) -> None:
    body = {"model": "vectors", "input": "one"} | fields
    with pytest.raises(openai_package.BadRequestError) as refusal:
        await openai.post("/embeddings", body=body, cast_to=object)
    assert rule in refusal.value.message
    assert refusal.value.param == rule.partition(": ")[0].replace("inputs", "input")
    assert refusal.value.type == "invalid_request_error"


async def test_more_than_a_megabyte_of_texts_is_taken(openai: AsyncOpenAI) -> None:
    texts = ["word " * 4000] * 60
    answer = await openai.embeddings.create(model="vectors", input=texts)
    assert answer.usage.total_tokens == 240_000
