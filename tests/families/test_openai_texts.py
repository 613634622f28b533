"""Texts by the clients of OpenAI and Cohere: real networks under a real TorchServe."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import cohere
import pytest
from openai import AsyncOpenAI, BadRequestError

from tests.families.conftest import Served, download, precision_of, predict
from tests.families.families import READERS, Family
from tests.families.test_text_families import INPUTS
from tests.handlers.completing import Completing
from tests.handlers.texts import EQUAL, load
from tests.integration.server import ROOT
from tests.waiting import LIMIT_SECONDS

pytestmark = pytest.mark.integration
RANKING, WRITING = (
    next(family for family in READERS if family.name == name)
    for name in ("text_ranking", "text_generation")
)
MESSAGES: list[Any] = [{"role": "user", "content": "the quick brown fox"}]
TOKENS = 24
NEAR = 0.02  # where rounded sums may fall on either side of a step


@pytest.fixture
async def openai(served: Served) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{served.server.url}/v1", api_key="none") as made:
        yield made


async def have(client: aiohttp.ClientSession, family: Family) -> dict[str, str]:
    """Download *family*, unless another test has; return the precision that it runs in."""
    status = await download(client, family)
    assert status["status"] == "completed", status["message"]
    await predict(client, family.name, INPUTS[family.name])
    return {"precision": await precision_of(client, family.name)}


async def test_a_chat_is_streamed_token_by_token_as_the_network_writes_it(
    served: Served, client: aiohttp.ClientSession, openai: AsyncOpenAI
) -> None:
    config = await have(client, WRITING)
    completing = Completing(served.folders[WRITING.name], config=config)
    for how in ({"temperature": 0.0}, {"temperature": 1.2, "top_p": 0.9, "seed": 5}):
        order = {"messages": MESSAGES, "max_tokens": TOKENS} | how
        (expected,) = completing.written(order)
        create: Any = openai.chat.completions.create
        stream = await create(
            model=WRITING.name,
            messages=MESSAGES,
            max_completion_tokens=TOKENS,
            stream=True,
            stream_options={"include_usage": True},
            timeout=LIMIT_SECONDS,
            **how,
        )
        *chunks, end, usage = [chunk async for chunk in stream]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == expected["text"]
        assert len(chunks) > 3
        assert end.choices[0].finish_reason == expected["finish_reason"]
        assert usage.usage is not None
        assert usage.usage.completion_tokens == len(expected["tokens"])
        assert usage.usage.prompt_tokens == expected["prompt_tokens"]


async def test_completions_of_several_prompts_are_answered_together(
    served: Served, client: aiohttp.ClientSession, openai: AsyncOpenAI
) -> None:
    config = await have(client, WRITING)
    prompts = ["the quick brown fox", "a lazy dog"]
    answer = await openai.completions.create(
        model=WRITING.name, prompt=prompts, n=2, max_tokens=TOKENS, seed=3, temperature=1.1
    )
    completing = Completing(served.folders[WRITING.name], config=config)
    how = {"max_tokens": TOKENS, "seed": 3, "temperature": 1.1}
    orders = [{"prompt": prompt} | how for prompt in prompts for _ in range(2)]
    expected = completing.written(*orders, choices=[0, 1, 0, 1])
    if config["precision"] == "fp32":  # else a batch may be rounded otherwise
        assert [choice.text for choice in answer.choices] == [each["text"] for each in expected]
    assert len({choice.text for choice in answer.choices}) == 4
    with pytest.raises(BadRequestError) as refusal:
        await openai.completions.create(model=WRITING.name, prompt="fox " * 99, max_tokens=1)
    assert refusal.value.param == "prompt"


async def test_coheres_client_ranks_documents_as_the_network_does(
    served: Served, client: aiohttp.ClientSession
) -> None:
    config = await have(client, RANKING)
    documents = ["a lazy dog", "the quick brown fox", "strong coffee near quiet rivers"]
    async with cohere.AsyncClientV2(api_key="none", base_url=served.server.url) as official:
        answer = await official.rerank(
            model=RANKING.name, query="a fox", documents=documents, top_n=2
        )
    loaded = load(served.folders[RANKING.name], "text_ranking", config=config)
    scores = [
        each["score"]
        for each in loaded.results(
            *[{"text": "a fox", "parameters": {"document": text}} for text in documents]
        )
    ]
    order = sorted(range(3), key=lambda place: -scores[place])
    within = EQUAL if config["precision"] == "fp32" else NEAR
    assert [each.relevance_score for each in answer.results] == pytest.approx(
        [scores[place] for place in order[:2]], abs=within
    )
    if config["precision"] == "fp32":
        assert [each.index for each in answer.results] == order[:2]


async def test_the_example_chats_and_ranks(served: Served, client: aiohttp.ClientSession) -> None:
    for family in (WRITING, RANKING):
        await have(client, family)
    command = [str(ROOT / "examples" / "chat.py"), served.server.url, WRITING.name, RANKING.name]
    program = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await program.communicate()
    assert program.returncode == 0, errors.decode()
    *_, first, second = output.decode().splitlines()
    assert float(first[:5]) >= float(second[:5])
