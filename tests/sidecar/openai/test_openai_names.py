"""OpenAI's names of models and voices mean ours, and take no name away from ours."""

import msgspec
import pytest

from sidecar.catalog.catalog import parse_catalog
from sidecar.openai.names import VOICES, model_of, voice_of
from tests.sidecar.conftest import ECHO

EMBEDDING = ECHO | {"task": "embedding", "handler": "text_embedding_handler"}
RANKING = ECHO | {"task": "text_ranking", "handler": "text_handler"}
DEFAULTS = {"speech_synthesis": "my_voice", "speech_recognition": "my_ears"}


def meant(name: str, **models: object) -> str:
    catalog = parse_catalog(msgspec.json.encode({"models": models}))
    return model_of(catalog, name, DEFAULTS)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("tts-1", "my_voice"),
        ("gpt-4o-mini-tts", "my_voice"),
        ("gpt-4o-mini-tts-2025-12-15", "my_voice"),
        ("whisper-1", "my_ears"),
        ("gpt-4o-transcribe", "my_ears"),
        ("text-embedding-3-small", "vectors"),
        ("rerank-v3.5", "ranker"),
        ("jina-reranker-v2-base-multilingual", "ranker"),
    ],
)
def test_openais_models_are_the_default_ones(name: str, key: str) -> None:
    switched_off = EMBEDDING | {"enabled": False, "load_priority": 1}
    assert meant(name, vectors=EMBEDDING, ranker=RANKING, asleep=switched_off) == key


def test_a_catalog_model_with_an_openai_name_takes_precedence() -> None:
    assert meant("whisper-1", ears=ECHO | {"aliases": ["whisper-1"]}) == "whisper-1"


@pytest.mark.parametrize("name", ["gpt-5", "vectors", "dall-e-3", "tts", "text-embedding-3-small"])
def test_any_other_name_stays_as_it_is(name: str) -> None:
    assert meant(name, echo=ECHO) == name


def test_every_voice_of_openai_is_one_that_the_model_has() -> None:
    for voices in (("default", "female", "male", "deep", "warm", "bright"), ("joe",)):
        assert {voice_of(name, voices) for name in VOICES} <= set(voices)
    assert voice_of("onyx", ("default", "male")) == "male"
    assert voice_of("nova", ("joe",)) == "joe"


def test_a_voice_with_an_openai_name_takes_precedence() -> None:
    assert voice_of("echo", ("default", "male", "echo")) == "echo"
    assert voice_of("nobody", ("default",)) == "nobody"
