"""Voices and recognisers from a hub: downloaded, built, served by TorchServe, and asked."""

import base64

import aiohttp
import pytest

from handler_kit.wav import read_wav
from speech_synthesis_handler import SpeechSynthesisHandler
from tests.families.conftest import Served, download, precision_of, predict
from tests.families.families import EARS, VOICES, Family
from tests.handlers.loaded import FakeContext, Loaded
from tests.handlers.speaking import farthest, say
from tests.needs import need_recording

pytestmark = pytest.mark.integration
TEXTS = ("the sea.", "the sky.")
EQUAL = 1e-3
NEAR = 0.02  # where rounded sums may fall on either side of a step


@pytest.mark.parametrize("family", VOICES, ids=lambda family: family.name)
async def test_a_voice_from_the_hub_says_what_its_checkpoint_says(
    served: Served, client: aiohttp.ClientSession, family: Family
) -> None:
    status = await download(client, family)
    assert status["status"] == "completed", status["message"]
    results = await predict(client, family.name, list(TEXTS))
    precision = await precision_of(client, family.name)
    config = {
        "options": family.options,
        "max_batch_size": 2,
        "warmup_iterations": 0,
        "workers": 2,
        "precision": precision,
    }
    context = FakeContext(served.folders[family.name], config)
    handler = Loaded(SpeechSynthesisHandler(), context)
    for text, result in zip(TEXTS, results, strict=True):
        heard = read_wav(base64.b64decode(result["audio_data"]), result["sample_rate"])
        assert farthest(heard, say(handler, text, seed=0)) < (
            EQUAL if precision == "fp32" else NEAR
        )
    async with client.get("/audio/models") as response:
        assert family.name in await response.text()


@pytest.mark.parametrize("family", EARS, ids=lambda family: family.name)
async def test_a_recogniser_from_the_hub_writes_down_what_is_said(
    served: Served, client: aiohttp.ClientSession, family: Family
) -> None:
    recording = need_recording("beckett.wav").read_bytes()
    status = await download(client, family)
    assert status["status"] == "completed", status["message"]
    data = "data:audio/wav;base64," + base64.b64encode(recording).decode()
    result = await predict(client, family.name, data)
    assert result["language"] == "en"
    starts = [segment["start"] for segment in result["segments"]]
    assert starts == sorted(starts)
    assert all(segment["end"] > segment["start"] for segment in result["segments"])
    assert result["text"].strip()


async def test_a_text_stage_from_the_hub_is_spoken_by_a_voice_from_a_package(
    served: Served, client: aiohttp.ClientSession
) -> None:
    family = Family("bart_large", lambda _: None, "", {})
    status = await download(client, family, model_id="facebook/bart-large")
    assert status["status"] == "completed", status["message"]
    result = await predict(client, "facebook/bart-large", "the sea.")
    assert result["sample_rate"] == 24000
    assert result["duration"] > 0.2
