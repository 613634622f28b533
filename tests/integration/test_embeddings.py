"""MiniLM through /predict equals transformers' own fp32, alone and in batches."""

import asyncio
import random
import zipfile
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import torch
import transformers

from tests.integration.server import ROOT

pytestmark = pytest.mark.integration
COUNT = 200
WORDS = (
    "the river bank rises while seven small engines hum quietly under an old bridge and people "
    "speak of weather, naïve plans, prices (19.99), e-mail, Übung, 東京 and port 8080"
).split()


@pytest.fixture(scope="module")
def texts() -> list[str]:
    chance = random.Random(11)
    lengths = [chance.choice([1, 3, 8, 15, 40, 120, 200, 300]) for _ in range(COUNT)]
    return [" ".join(chance.choices(WORDS, k=length)) for length in lengths]


@pytest.fixture(scope="module")
def expected(texts: list[str], archives: None, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Transformers' fp32 mean pooling, one text at a time."""
    folder = tmp_path_factory.mktemp("minilm")
    with zipfile.ZipFile(ROOT / "model_store" / "sentence_transformer.mar") as archive:
        archive.extractall(folder)
    return _embed(folder, texts)


def _embed(folder: Path, texts: list[str]) -> Any:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    vectors = []
    for text in texts:
        tokens = tokenizer(text, truncation=True, max_length=256, return_tensors="pt")
        with torch.inference_mode():
            mean = model(**tokens).last_hidden_state[0].mean(dim=0)
        vectors.append((mean / mean.norm()).numpy())
    return np.array(vectors)


def cosines(vectors: Any, expected: Any) -> Any:
    got = np.array(vectors)
    return (got * expected).sum(axis=1) / np.linalg.norm(got, axis=1)


async def embed(http: aiohttp.ClientSession, inputs: Any) -> Any:
    body = {"model_name": "sentence_transformer", "inputs": inputs, "timeout": 300}
    async with http.post("/predict", json=body) as response:
        answer = await response.json()
        assert response.status == 200, answer
        return answer["result"]


async def test_a_single_text_has_the_embedding_of_transformers(
    http: aiohttp.ClientSession, texts: list[str], expected: Any
) -> None:
    vectors = [await embed(http, text) for text in texts]
    assert cosines(vectors, expected).min() >= 0.999


async def test_concurrent_texts_have_the_embeddings_of_transformers(
    http: aiohttp.ClientSession, texts: list[str], expected: Any
) -> None:
    vectors = await asyncio.gather(*(embed(http, text) for text in texts))
    assert cosines(vectors, expected).min() >= 0.999


async def test_texts_of_a_batch_have_the_embeddings_of_transformers(
    http: aiohttp.ClientSession, texts: list[str], expected: Any
) -> None:
    assert cosines(await embed(http, texts), expected).min() >= 0.999
