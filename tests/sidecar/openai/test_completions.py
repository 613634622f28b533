"""POST /v1/completions and /v1/chat/completions: what OpenAI's client asks and how it is answered.

The fake model writes ` 0.0 0.1 0.2 …`: the number of the choice, and that of the token.
"""

import asyncio
from typing import Any

import openai as openai_package
import pytest
from openai import AsyncOpenAI

from tests.fake_torchserve import TURN_TOKENS, FakeTorchServe, Refuse, Turn
from tests.sidecar.conftest import Client, StartSidecar
from tests.sidecar.openai.conftest import MODELS, openai_of
from tests.waiting import LIMIT_SECONDS

USER: Any = {"role": "user", "content": "Hello."}


def said(count: int, choice: int = 0) -> str:
    return "".join(f" {choice}.{place}" for place in range(count))


def orders(torchserve: FakeTorchServe) -> list[dict[str, Any]]:
    return [order for job in torchserve.jobs for order in job]


async def test_a_text_is_continued_in_as_many_turns_as_it_takes(
    openai: AsyncOpenAI, torchserve: FakeTorchServe
) -> None:
    answer = await openai.completions.create(model="writer", prompt="Once", max_tokens=8)
    (choice,) = answer.choices
    assert (choice.index, choice.text, choice.finish_reason) == (0, said(8), "length")
    assert answer.object == "text_completion"
    assert answer.id.startswith("cmpl-")
    assert answer.model == "writer"
    assert answer.usage is not None
    assert answer.usage.model_dump(exclude_none=True) == {
        "prompt_tokens": 5,
        "completion_tokens": 8,
        "total_tokens": 13,
    }
    turns = [item["parameters"]["written"] for job in torchserve.items for item in job]
    assert turns == [[], [0, 1, 2], [0, 1, 2, 3, 4, 5]]


async def test_without_a_length_sixteen_tokens_are_written(openai: AsyncOpenAI) -> None:
    answer = await openai.completions.create(model="writer", prompt="Once")
    assert answer.choices[0].text == said(16)


async def test_a_chat_is_answered_as_a_message(
    openai: AsyncOpenAI, torchserve: FakeTorchServe
) -> None:
    answer = await openai.chat.completions.create(
        model="writer",
        messages=[
            {"role": "developer", "content": "Be brief."},
            {
                "role": "user",
                "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo."}],
            },
        ],
        max_completion_tokens=4,
        temperature=0.5,
        top_p=0.9,
        presence_penalty=1,
        frequency_penalty=-1,
        stop=["\n", "."],
        seed=7,
    )
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content) == ("assistant", said(4))
    assert choice.finish_reason == "length"
    assert answer.object == "chat.completion"
    assert answer.system_fingerprint is None
    assert orders(torchserve)[0] == {
        "messages": [{"role": "system", "content": "Be brief."}, USER],
        "max_tokens": 4,
        "cap": 16384,
        "temperature": 0.5,
        "top_p": 0.9,
        "presence_penalty": 1.0,
        "frequency_penalty": -1.0,
        "stop": ["\n", "."],
        "seed": 7,
    }


async def test_a_text_that_ends_says_so(openai: AsyncOpenAI, torchserve: FakeTorchServe) -> None:
    torchserve.write = lambda _order, _state: Turn([], ["Hi", "!"], "stop")
    answer = await openai.chat.completions.create(model="writer", messages=[USER])
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("Hi!", "stop")


async def test_several_prompts_have_several_completions_each(openai: AsyncOpenAI) -> None:
    answer = await openai.completions.create(
        model="writer", prompt=["a", "b"], max_tokens=4, n=3, temperature=1
    )
    assert [choice.index for choice in answer.choices] == list(range(6))
    assert [choice.text for choice in answer.choices] == [said(4, n) for n in (0, 1, 2)] * 2
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 2 * 5
    assert answer.usage.completion_tokens == 6 * 4


async def test_completions_of_several_clients_share_jobs(
    openai: AsyncOpenAI, torchserve: FakeTorchServe
) -> None:
    ask = openai.completions.create
    torchserve.hold()
    asked = [
        asyncio.create_task(ask(model="writer", prompt=str(n), max_tokens=2)) for n in range(5)
    ]
    async with asyncio.timeout(LIMIT_SECONDS):
        while not torchserve.jobs:
            await asyncio.sleep(0)
    torchserve.release()
    assert {(await each).choices[0].text for each in asked} == {said(2)}
    assert max(map(len, torchserve.jobs)) > 1


@pytest.mark.parametrize("prompt", ["a text", [1, 2, 3], [[1, 2], [3]], ["a", "b"]])
async def test_a_prompt_is_texts_or_tokens(
    openai: AsyncOpenAI, torchserve: FakeTorchServe, prompt: Any
) -> None:
    await openai.completions.create(model="writer", prompt=prompt, max_tokens=1)
    expected = prompt if isinstance(prompt[0], list) or prompt == ["a", "b"] else [prompt]
    assert sorted(order["prompt"] for order in orders(torchserve)) == sorted(expected)


async def test_the_same_seed_is_passed_on_and_others_are_drawn(
    openai: AsyncOpenAI, torchserve: FakeTorchServe
) -> None:
    for seed in (-1, None, None):
        await openai.completions.create(model="writer", prompt="a", max_tokens=1, seed=seed)
    first, second, third = (order["seed"] for order in orders(torchserve))
    assert first == 2**64 - 1
    assert second != third


async def test_a_top_p_of_zero_selects_the_most_probable_token(
    openai: AsyncOpenAI, torchserve: FakeTorchServe
) -> None:
    await openai.completions.create(model="writer", prompt="a", max_tokens=1, top_p=0)
    (order,) = orders(torchserve)
    assert order["temperature"] == 0.0
    assert "top_p" not in order


async def test_a_stream_has_a_chunk_for_each_token_as_it_is_written(
    openai: AsyncOpenAI, torchserve: FakeTorchServe
) -> None:
    torchserve.paced = asyncio.Semaphore(0)
    create: Any = openai.chat.completions.create
    asked = asyncio.create_task(
        create(
            model="writer",
            messages=[USER],
            max_tokens=TURN_TOKENS + 2,
            stream=True,
        )
    )
    texts: list[str] = []
    for place in range(TURN_TOKENS + 2):  # each comes before the next is written
        torchserve.paced.release()
        if not texts:
            stream = await asked
        chunk = await anext(stream)
        assert chunk.object == "chat.completion.chunk"
        assert chunk.usage is None
        assert chunk.choices[0].delta.role == ("assistant" if place == 0 else None)
        assert chunk.choices[0].finish_reason is None
        texts.append(chunk.choices[0].delta.content)
    assert texts == [f" 0.{place}" for place in range(TURN_TOKENS + 2)]
    last = await anext(stream)
    assert last.choices[0].finish_reason == "length"
    assert last.choices[0].delta.content is None
    assert [chunk async for chunk in stream] == []


async def test_a_stream_of_texts_ends_with_its_usage_where_that_is_asked(
    openai: AsyncOpenAI,
) -> None:
    stream = await openai.completions.create(
        model="writer",
        prompt=["a", "b"],
        max_tokens=5,
        n=2,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    texts = [""] * 4
    for chunk in chunks[:-1]:
        assert chunk.usage is None
        texts[chunk.choices[0].index] += chunk.choices[0].text
    assert texts == [said(5, 0), said(5, 1)] * 2
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.model_dump(exclude_none=True) == {
        "prompt_tokens": 10,
        "completion_tokens": 20,
        "total_tokens": 30,
    }
    assert len({chunk.id for chunk in chunks}) == 1


async def test_the_stream_is_events_with_an_end(client: Client) -> None:
    body = {"model": "writer", "prompt": "a", "max_tokens": 1, "stream": True}
    async with client.post("/v1/completions", json=body) as response:
        assert response.content_type == "text/event-stream"
        lines = (await response.text()).split("\n\n")
    assert [line[:6] for line in lines[:-1]] == ["data: "] * 3
    assert lines[-2:] == ["data: [DONE]", ""]


async def test_a_client_that_leaves_ends_its_completion(
    openai: AsyncOpenAI, torchserve: FakeTorchServe
) -> None:
    torchserve.paced = asyncio.Semaphore(1)
    stream = await openai.completions.create(
        model="writer", prompt="a", max_tokens=100, stream=True
    )
    await anext(stream)
    await stream.close()
    for _ in range(200):  # more than all its turns would take
        torchserve.paced.release()
    answer = await openai.completions.create(model="writer", prompt="b", max_tokens=40)
    assert answer.choices[0].text == said(40)
    assert [order["prompt"] for order in orders(torchserve)].count("a") <= 2


async def test_a_worker_that_dies_in_the_middle_has_a_successor(
    openai: AsyncOpenAI, torchserve: FakeTorchServe
) -> None:
    torchserve.cut_off = 2
    stream = await openai.completions.create(model="writer", prompt="a", max_tokens=4, stream=True)
    assert "".join([chunk.choices[0].text async for chunk in stream]) == said(4)
    assert len(torchserve.jobs) == 3


async def test_another_text_behind_what_was_sent_is_an_error(
    openai: AsyncOpenAI, torchserve: FakeTorchServe
) -> None:
    texts = iter(["one", "other"])
    torchserve.cut_off = 2
    torchserve.write = lambda _order, _state: Turn([], [next(texts), ",", "."], "stop")
    stream = await openai.completions.create(model="writer", prompt="a", stream=True)
    with pytest.raises(openai_package.APIError, match="Internal server error"):
        _ = [chunk async for chunk in stream]


async def test_a_time_out_is_for_the_whole_answer_and_in_a_stream_for_each_token(
    openai: AsyncOpenAI, torchserve: FakeTorchServe
) -> None:
    torchserve.paced = asyncio.Semaphore(2)
    ask: Any = {"model": "writer", "prompt": "a", "max_tokens": 3, "extra_body": {"timeout": 1.0}}
    with pytest.raises(openai_package.APIStatusError) as refusal:
        await openai.completions.create(**ask)
    assert refusal.value.status_code == 504
    torchserve.paced.release()
    torchserve.paced.release()
    torchserve.paced.release()
    stream = await openai.completions.create(**ask, stream=True)
    with pytest.raises(openai_package.APIError, match="Request timed out"):
        _ = [chunk async for chunk in stream]


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("completions", {"model": "vectors"}, "model: vectors is not a text generation model"),
    ("completions", {"prompt": []}, "prompt: must not be empty"),
    ("completions", {"prompt": [[]]}, "prompt: must not be empty"),
    ("completions", {"prompt": None}, "prompt: must not be null"),
    ("completions", {"prompt": {"text": "x"}}, "prompt: expected a text, a list of tokens"),
    ("completions", {"prompt": [1.5]}, "prompt: expected a text, a list of tokens"),
    ("completions", {"prompt": [-1]}, "prompt: expected a text, a list of tokens"),
    ("completions", {"prompt": ["a", 1]}, "prompt: a batch must be of one kind"),
    ("completions", {"prompt": ["a"] * 1025}, "prompt: at most 1024 inputs in one request"),
    (
        "completions",
        {"prompt": ["a"] * 65, "n": 16},
        "n: expected at most 1024 completions in a request, got 1040",
    ),
    ("completions", {"max_tokens": 0}, "max_tokens: Expected `int` >= 1"),
    (
        "completions",
        {"max_tokens": 9000, "n": 2},
        "max_tokens: 2 completions of 9000 tokens exceed",
    ),
    ("completions", {"logprobs": 0}, "logprobs: is not supported; leave it out"),
    ("completions", {"echo": True}, "echo: is not supported"),
    ("completions", {"best_of": 3}, "best_of: is not supported"),
    ("completions", {"suffix": "x"}, "suffix: is not supported"),
    ("completions", {"logit_bias": {"1": 1}}, "logit_bias: is not supported"),
    ("completions", {"temperature": 2.1}, "temperature: Expected `float` <= 2.0"),
    ("completions", {"n": 129}, "n: Expected `int` <= 128"),
    ("completions", {"stop": ["a"] * 5}, "stop: Expected `array` of length <= 4"),
    ("completions", {"stop": ""}, "stop: Expected `str` of length >= 1"),
    ("completions", {"stream_options": {}}, "stream_options: requires stream"),
    ("completions", {"timeout": 1e6}, "timeout: must be at most 300 seconds"),
    ("chat/completions", {"messages": []}, "messages: Expected `array` of length >= 1"),
    ("chat/completions", {"messages": [{"role": "bot", "content": ""}]}, "messages[0].role: "),
    ("chat/completions", {"messages": [{"role": "user"}]}, "messages[0]: "),
    (
        "chat/completions",
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        "messages[0].content[0].type: Invalid enum value 'image_url'",
    ),
    ("chat/completions", {"logprobs": True}, "logprobs: is not supported"),
    ("chat/completions", {"top_logprobs": 2}, "top_logprobs: is not supported"),
    ("chat/completions", {"tools": [{}]}, "tools: is not supported"),
    ("chat/completions", {"tool_choice": "required"}, "tool_choice: is not supported"),
    (
        "chat/completions",
        {"response_format": {"type": "json_object"}},
        "response_format: is not supported",
    ),
]


@pytest.mark.parametrize(("path", "fields", "rule"), REFUSED)
async def test_an_invalid_completion_is_a_bad_request_that_names_the_field(
    client: Client, path: str, fields: dict[str, Any], rule: str
) -> None:
    body = {"model": "writer", "messages": [USER], "prompt": "a"} | fields
    async with client.post(f"/v1/{path}", json=body) as response:
        answer = await response.json()
    assert response.status == 400
    assert rule in answer["error"]["message"]
    assert answer["error"]["param"] == rule.partition(": ")[0].split("[0]: ")[0]


async def test_fields_that_ask_for_nothing_are_taken(openai: AsyncOpenAI) -> None:
    create: Any = openai.chat.completions.create
    answer = await create(
        model="gpt-4o-mini",
        messages=[USER],
        max_tokens=1,
        logprobs=False,
        tools=[],
        tool_choice="none",
        response_format={"type": "text"},
        logit_bias={},
        user="ada",
        metadata={"a": "b"},
        n=None,
        stop=None,
    )
    assert answer.choices[0].message.content == said(1)
    assert answer.model == "gpt-4o-mini"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("asked", "refused", "param"),
    [
        ({"max_completion_tokens": 9}, "max_tokens", "max_completion_tokens"),
        ({"max_tokens": 9}, "max_tokens", "max_tokens"),
        ({}, "messages", "messages"),
    ],
)
async def test_a_refusal_by_the_model_names_the_field_of_the_client(
    openai: AsyncOpenAI,
    torchserve: FakeTorchServe,
    stream: bool,
    asked: dict[str, Any],
    refused: str,
    param: str,
) -> None:
    def write(_order: dict[str, Any], _state: dict[str, Any]) -> Turn:
        raise Refuse(400, "must be at most 8", refused)

    torchserve.write = write
    create: Any = openai.chat.completions.create
    with pytest.raises(openai_package.BadRequestError) as refusal:
        await create(
            model="writer",
            messages=[USER],
            stream=stream,
            **asked,
        )
    assert refusal.value.param == param
    assert f"{param}: must be at most 8" in refusal.value.message


async def test_more_tokens_than_the_setting_allows_are_refused_before_any_work(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    client = await start(catalog=MODELS, max_completion_tokens=20)
    async with openai_of(client) as openai:
        with pytest.raises(openai_package.BadRequestError, match="the limit of 20"):
            await openai.completions.create(model="writer", prompt=["a", "b"], max_tokens=11)
        assert torchserve.jobs == []
        answer = await openai.chat.completions.create(
            model="writer",
            messages=[USER],
            n=4,
        )
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 20


async def test_neither_prompts_nor_texts_are_logged(
    openai: AsyncOpenAI, torchserve: FakeTorchServe, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    torchserve.cut_off = 1
    torchserve.write = lambda _order, _state: Turn([], ["a secret"] * 3, "stop")
    await openai.completions.create(model="writer", prompt="my secret")
    torchserve.paced = asyncio.Semaphore(1)
    stream = await openai.completions.create(
        model="writer", prompt="my secret", stream=True, extra_body={"timeout": 1.0}
    )
    with pytest.raises(openai_package.APIError):
        _ = [chunk async for chunk in stream]
    assert "ended early" in caplog.text
    assert "secret" not in caplog.text
