"""POST /synthesize on a fake voice: kept answers, streams that break, who is asked for what."""

import asyncio
from typing import Any

import aiohttp
import pytest

from handler_kit.wav import read_wav
from tests.fake_torchserve import FakeTorchServe, Refuse, Spoken
from tests.sidecar.conftest import CATALOG, Client, StartSidecar
from tests.sidecar.routes.test_speech_refusals import SPEAKING

TEXT = "First comes this. Then comes that. And this is last."
TONE = (1000).to_bytes(2, "little") * 2400  # a tenth of a second
AUDIO = {"Accept": "audio/wav"}


def says(value: Any) -> Any:
    """A tenth of a second for each sentence; one with "breaks" in it cannot be said."""
    if "breaks" in value:
        raise Refuse(500, "a secret of the model")
    return Spoken(TONE)


@pytest.fixture
async def voice(start: StartSidecar, torchserve: FakeTorchServe) -> Client:
    torchserve.answer = says
    torchserve.archives |= {"hibari_tts.mar"}
    spoken = SPEAKING | {"cache": True, "inference": {"max_batch_size": 8}}
    return await start(catalog=CATALOG | {"hibari_tts": spoken})


async def speak(client: Client, **fields: Any) -> bytes:
    response = await client.post("/synthesize", json={"text": TEXT} | fields, headers=AUDIO)
    data = await response.read()
    assert response.status == 200, data
    return data


async def test_sentences_are_one_file(voice: Client, torchserve: FakeTorchServe) -> None:
    data = await speak(voice)
    assert len(read_wav(data, 24000)) == 3 * 2400
    assert [sentence for job in torchserve.jobs for sentence in job] == [
        "First comes this.",
        "Then comes that.",
        "And this is last.",
    ]


async def test_equal_requests_are_spoken_once_and_others_anew(
    voice: Client, torchserve: FakeTorchServe
) -> None:
    first = await speak(voice)
    jobs = len(torchserve.jobs)
    assert await speak(voice, priority=7, timeout=9) == first
    assert len(torchserve.jobs) == jobs
    for other in ({"seed": 1}, {"emotion": "sad"}, {"voice": "bert"}, {"output_format": "flac"}):
        await speak(voice, **other)
        assert len(torchserve.jobs) > jobs
        jobs = len(torchserve.jobs)
    headers = AUDIO | {"Cache-Control": "no-cache"}
    await voice.post("/synthesize", json={"text": TEXT}, headers=headers)
    assert len(torchserve.jobs) > jobs


async def test_a_kept_answer_has_every_field_and_its_own_times(voice: Client) -> None:
    answers = []
    for _ in range(2):
        response = await voice.post("/synthesize", json={"text": TEXT})
        answers.append(await response.json())
    first, kept = answers
    assert first.keys() == kept.keys()
    assert kept["audio_data"] == first["audio_data"]
    assert kept["generation_time"] < first["generation_time"]
    assert kept["metadata"]["processing_info"] == first["metadata"]["processing_info"]


async def test_streams_are_not_kept(voice: Client, torchserve: FakeTorchServe) -> None:
    for _ in range(2):
        jobs = len(torchserve.jobs)
        await speak(voice, enable_streaming=True)
        assert len(torchserve.jobs) > jobs


async def test_a_stream_sends_the_first_sentence_before_the_others_are_spoken(
    voice: Client, torchserve: FakeTorchServe
) -> None:
    body = {"text": TEXT, "enable_streaming": True, "output_format": "pcm"}
    answers = iter([Spoken(TONE)])

    def first_only(value: str) -> Any:
        spoken = next(answers, None)
        if spoken is None:
            torchserve.hold()
            raise Refuse(500, "held")
        return spoken

    torchserve.answer = first_only
    async with voice.post("/synthesize", json=body, headers=AUDIO) as response:
        assert await response.content.readexactly(len(TONE)) == TONE


@pytest.mark.parametrize("output_format", ["wav", "mp3", "pcm"])
async def test_a_stream_that_fails_on_the_way_is_cut_off_and_not_ended(
    voice: Client, output_format: str
) -> None:
    body = {
        "text": "This is fine. This breaks. This is fine too.",
        "enable_streaming": True,
        "output_format": output_format,
    }
    async with voice.post("/synthesize", json=body, headers=AUDIO) as response:
        assert response.status == 200
        with pytest.raises(aiohttp.ClientError):
            await response.read()


async def test_a_stream_whose_first_sentence_fails_is_an_error_with_its_status(
    voice: Client,
) -> None:
    body = {"text": "This breaks. This is fine.", "enable_streaming": True}
    response = await voice.post("/synthesize", json=body, headers=AUDIO)
    assert response.status == 500
    assert "secret" not in await response.text()


async def test_a_client_that_leaves_a_stream_takes_its_sentences_with_it(
    voice: Client, torchserve: FakeTorchServe
) -> None:
    body = {"text": TEXT, "enable_streaming": True, "output_format": "pcm"}
    async with voice.post("/synthesize", json=body, headers=AUDIO) as response:
        await response.content.readexactly(2)
        torchserve.hold()
    torchserve.release()
    await asyncio.sleep(0.05)
    said = [sentence for job in torchserve.jobs for sentence in job]
    assert len(said) <= 3
    assert len(read_wav(await speak(voice, text="Hello."), 24000)) == 2400
