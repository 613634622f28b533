"""OpenAI's own client on a real server with real models."""

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any, get_args

import aiohttp
import numpy as np
import openai as openai_package
import pytest
from openai import AsyncOpenAI

from sidecar.schemas.openai.speech import SpeechFormat
from tests.integration.server import Server
from tests.integration.speech_client import decoded
from tests.integration.word_errors import word_error_rate

pytestmark = pytest.mark.integration

SENTENCE = "The weather is fine today, and the children are playing in the garden behind the house."
FORMATS = get_args(SpeechFormat)


@pytest.fixture
async def openai(server: Server) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
        yield client


async def spoken(openai: AsyncOpenAI, name: str = "wav", **fields: Any) -> bytes:
    asked = {"model": "tts-1", "voice": "nova", "input": SENTENCE, "response_format": name}
    return (await openai.audio.speech.create(**asked | fields)).content


async def test_the_models_of_the_catalog_are_listed(openai: AsyncOpenAI) -> None:
    models = {model.id: model async for model in openai.models.list()}
    assert {"example", "sentence_transformer", "hibari_tts", "whisper_tiny_en"} <= models.keys()
    assert models["sentence_transformer"].owned_by == "sentence-transformers"
    assert models["hibari_tts"].created > 1_700_000_000
    assert (await openai.models.retrieve("whisper-1")).id == "whisper_tiny_en"


async def test_embeddings_are_those_of_predict_and_their_tokens_are_counted(
    openai: AsyncOpenAI, http: aiohttp.ClientSession
) -> None:
    texts = ["hello world", "a b c"]
    async with http.post("/predict", json={"model_name": "minilm", "inputs": texts}) as response:
        expected = (await response.json())["result"]
    answer = await openai.embeddings.create(model="text-embedding-3-small", input=texts)
    assert np.array([each.embedding for each in answer.data]) == pytest.approx(np.array(expected))
    assert answer.usage.prompt_tokens == 4 + 5  # with the first and the last of each
    cut = await openai.embeddings.create(model="minilm", input=texts[0], dimensions=64)
    assert len(cut.data[0].embedding) == 64
    assert np.linalg.norm(cut.data[0].embedding) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", FORMATS)
async def test_every_format_is_a_file_of_the_same_speech(openai: AsyncOpenAI, name: str) -> None:
    audio = decoded(await spoken(openai, name), name)
    assert 3 < audio.seconds < 8


async def test_speech_comes_in_pieces_as_it_is_made(openai: AsyncOpenAI) -> None:
    asked = openai.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input=f"Hello. {SENTENCE * 3}", response_format="pcm"
    )
    async with asked as response:
        assert response.headers["Transfer-Encoding"] == "chunked"
        pieces = [piece async for piece in response.iter_bytes()]
    assert len(pieces) > 1


async def test_the_emotion_cheerful_changes_the_audio(openai: AsyncOpenAI) -> None:
    plain, cheerful = await asyncio.gather(
        spoken(openai, voice="alloy"),
        spoken(openai, voice="alloy", instructions="Speak in a cheerful tone."),
    )
    assert decoded(cheerful).seconds < decoded(plain).seconds


async def test_speech_in_every_format_is_transcribed(openai: AsyncOpenAI) -> None:
    file = ("speech.wav", io.BytesIO(await spoken(openai)).getvalue())
    listen = openai.audio.transcriptions.create
    plain = await listen(model="whisper-1", file=file)
    assert word_error_rate([SENTENCE], [plain.text]) <= 0.1
    verbose = await listen(
        model="whisper-1",
        file=file,
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )
    assert verbose.text == plain.text
    assert verbose.language == "english"
    assert verbose.words is not None
    assert verbose.segments is not None
    assert len(verbose.words) == len(plain.text.split())
    assert 0 <= verbose.words[0].start < verbose.words[-1].end <= verbose.duration
    assert -2 < verbose.segments[0].avg_logprob <= 0
    subtitles = await listen(model="whisper-1", file=file, response_format="vtt")
    assert str(subtitles).startswith("WEBVTT\n")
    events = [event async for event in await listen(model="whisper-1", file=file, stream=True)]
    assert events[-1].type == "transcript.text.done"
    assert events[-1].text == plain.text


async def test_errors_raise_the_exceptions_of_openais_client(
    openai: AsyncOpenAI, server: Server
) -> None:
    with pytest.raises(openai_package.NotFoundError):
        await openai.embeddings.create(model="nobody", input="x")
    with pytest.raises(openai_package.BadRequestError):
        await openai.audio.transcriptions.create(model="whisper-1", file=b"no audio")
    stranger = AsyncOpenAI(base_url=f"{server.url}/v1", api_key="sk_wrong", max_retries=0)
    async with stranger:
        with pytest.raises(openai_package.AuthenticationError):
            await stranger.embeddings.create(model="minilm", input="x")
