"""OpenAI's own client in front of a sidecar whose models are a fake TorchServe's."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.fake_torchserve import FakeTorchServe
from tests.sidecar.conftest import CATALOG, ECHO, Client, StartSidecar
from tests.sidecar.routes.test_speech_refusals import FINDING, LISTENING, SPEAKING

MODELS: dict[str, Any] = CATALOG | {
    "vectors": ECHO
    | {
        "task": "embedding",
        "handler": "text_embedding_handler",
        "model_id": "tests/vectors",
    },
    "ranker": ECHO
    | {"task": "text_ranking", "handler": "text_handler", "model_id": "tests/ranker"},
    "writer": ECHO
    | {"task": "text_generation", "handler": "text_handler", "model_id": "tests/writer"},
    "hibari_tts": SPEAKING
    | {
        "handler_options": {
            "network": "hibari",
            "voices": {"default": {"description": "Hers"}, "male": {"description": "His"}},
        }
    },
    "whisper_tiny_en": LISTENING
    | {"speech": {"sample_rate": 16000, "languages": ["en"], "word_timestamps": True}},
    "polyglot": LISTENING
    | {"speech": {"sample_rate": 16000, "languages": ["en", "de"], "translates": True}},
    "vad": FINDING,
}


@pytest.fixture(autouse=True)
def archives(torchserve: FakeTorchServe) -> None:
    torchserve.archives |= {f"{key}.mar" for key in MODELS}


@pytest.fixture
async def client(start: StartSidecar) -> Client:
    return await start(catalog=MODELS)


def openai_of(client: Client, **settings: Any) -> AsyncOpenAI:
    url = str(client.make_url("/v1"))
    return AsyncOpenAI(base_url=url, max_retries=0, **{"api_key": "none", **settings})


@pytest.fixture
async def openai(client: Client) -> AsyncIterator[AsyncOpenAI]:
    """The client of somebody who has no key for this server."""
    async with openai_of(client) as made:
        yield made
