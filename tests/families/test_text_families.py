"""Networks for texts from a hub: downloaded, built, served by TorchServe, and asked."""

from typing import Any

import aiohttp
import pytest

from tests.families.conftest import Served, download, precision_of, predict
from tests.families.families import READERS, Family
from tests.handlers.texts import EQUAL, load, same

pytestmark = pytest.mark.integration
LABELS = {"candidate_labels": ["dog", "strong coffee", "fox"]}
FEW_TOKENS = {"max_new_tokens": 8}
INPUTS: dict[str, list[Any]] = {
    "fill_mask": ["the quick [MASK] fox", "a lazy [MASK]"],
    "zero_shot_classification": [
        {"text": "the quick brown fox", "parameters": LABELS},
        {"text": "a lazy dog", "parameters": LABELS},
    ],
    "text_ranking": [{"text": "a fox", "parameters": {"document": "the quick brown fox"}}],
    "text_generation": [{"text": "the quick", "parameters": FEW_TOKENS}],
    "summarization": [{"text": "the quick brown fox", "parameters": FEW_TOKENS}],
    "text2text_generation": [{"text": "the quick brown fox", "parameters": FEW_TOKENS}],
}
NEAR = 0.02  # where rounded sums may fall on either side of a step
TEXTS = ["the quick brown fox", "a lazy dog while seven wizards brew strong coffee"]


@pytest.mark.parametrize("family", READERS, ids=lambda family: family.name)
async def test_a_network_from_the_hub_says_what_its_checkpoint_says(
    served: Served, client: aiohttp.ClientSession, family: Family
) -> None:
    status = await download(client, family)
    assert status["status"] == "completed", status["message"]
    inputs = INPUTS.get(family.name, TEXTS)
    results = await predict(client, family.name, inputs)
    task = family.pipeline.replace("-", "_")
    precision = await precision_of(client, family.name)
    handler = load(served.folders[family.name], task, config={"precision": precision})
    within = EQUAL if precision == "fp32" else NEAR
    assert same(results, handler.results(*inputs), within)
