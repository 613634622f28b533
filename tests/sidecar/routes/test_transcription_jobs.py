"""POST /transcribe on a fake recogniser: which stretches of speech share a job."""

import io
from typing import Any

import aiohttp
import pytest

from handler_kit.wav import write_wav
from tests.fake_torchserve import FakeTorchServe
from tests.sidecar.conftest import Client, StartSidecar
from tests.sidecar.routes.test_speech_refusals import MODELS

RATE = 16000
FRAME_BYTES = 1024
LONG = write_wav(bytes(2 * 65 * RATE), RATE)


def hears(pcm: bytes) -> Any:
    """Speech from beginning to end, for the finder and the recogniser alike."""
    frames = -(-len(pcm) // FRAME_BYTES)
    return {"probabilities": [1.0] * frames, "state": "", "text": "Hello.", "segments": []}


@pytest.fixture
async def listener(start: StartSidecar, torchserve: FakeTorchServe) -> Client:
    torchserve.answer = hears
    torchserve.archives |= {"whisper_tiny_en.mar", "vad.mar"}
    shared = {"inference": {"max_batch_size": 8}}
    return await start(catalog=MODELS | {"whisper_tiny_en": MODELS["whisper_tiny_en"] | shared})


def recognised(torchserve: FakeTorchServe) -> list[int]:
    """How many stretches were in each of the recogniser's jobs."""
    return [len(job) for job in torchserve.items if "offset" in job[0].get("parameters", ())]


async def transcribe(client: Client, **fields: str) -> str:
    form = aiohttp.FormData()
    form.add_field("file", io.BytesIO(LONG), filename="long.wav", content_type="audio/wav")
    for name, value in fields.items():
        form.add_field(name, value)
    async with client.post("/transcribe", data=form) as response:
        assert response.status == 200, await response.text()
        return await response.text()


async def test_the_stretches_of_a_recording_share_a_job(
    listener: Client, torchserve: FakeTorchServe
) -> None:
    assert await transcribe(listener)
    assert recognised(torchserve) == [3]


async def test_the_first_stretch_of_a_stream_has_priority(
    listener: Client, torchserve: FakeTorchServe
) -> None:
    assert await transcribe(listener, stream="true")
    first, *_ = recognised(torchserve)
    assert first == 1
    assert sum(recognised(torchserve)) == 3
