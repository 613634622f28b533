"""Classifiers of images from a hub: downloaded, built, served by TorchServe, and asked."""

import aiohttp
import pytest

from tests.families.conftest import Served, download, precision_of, predict
from tests.families.families import EYES, Family
from tests.handlers.test_image_handler import by_transformers, encoded, picture, text

pytestmark = pytest.mark.integration
NEAR = 0.05  # of a probability, where the precision is lowered
EQUAL = 2e-4  # a batch is summed in another order than one


@pytest.mark.parametrize("family", EYES, ids=lambda family: family.name)
async def test_a_classifier_from_the_hub_sees_what_transformers_sees(
    served: Served, client: aiohttp.ClientSession, family: Family
) -> None:
    status = await download(client, family)
    assert status["status"] == "completed", status["message"]
    pictures = [picture(50, 40, 1), picture(33, 64, 2)]
    inputs = [text(encoded(each)) for each in pictures]
    results = await predict(client, family.name, inputs)
    within = EQUAL if await precision_of(client, family.name) == "fp32" else NEAR
    for image, labels in zip(pictures, results, strict=True):
        expected = by_transformers(served.folders[family.name], image)
        assert len(labels) == 5
        for each in labels:
            assert each["score"] == pytest.approx(expected[each["label"]], abs=within)
