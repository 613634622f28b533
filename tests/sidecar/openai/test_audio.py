"""Speech by OpenAI's client on a fake voice and a fake recogniser."""

import json
from typing import Any

import openai as openai_package
import pytest
from openai import AsyncOpenAI

from handler_kit.wav import read_wav, write_wav
from tests.fake_torchserve import FakeTorchServe, Refuse, Spoken
from tests.sidecar.conftest import Client

TONE = (1000).to_bytes(2, "little") * 2400  # a tenth of a second
TEXT = "First comes this. Then comes that."
CLIP = ("clip.wav", write_wav(bytes(32000), 16000), "audio/wav")
HEARD = {
    "probabilities": [1.0] * 32,
    "state": "",
    "text": "Hello there.",
    "language": "en",
    "segments": [
        {
            "start": 0.1,
            "end": 0.9,
            "text": " Hello there.",
            "confidence": 0.5,
            "no_speech_prob": 0.01,
            "words": [
                {"word": " Hello", "start": 0.1, "end": 0.4, "probability": 0.9},
                {"word": " there.", "start": 0.5, "end": 0.9, "probability": 0.8},
            ],
        }
    ],
}


def says(text: str) -> Spoken:
    if "breaks" in text:
        raise Refuse(500, "a secret of the model")
    return Spoken(TONE)


def asked_of(torchserve: FakeTorchServe) -> dict[str, Any]:
    """What the handler was last told."""
    parameters: dict[str, Any] = torchserve.items[-1][0]["parameters"]
    return parameters


async def spoken(openai: AsyncOpenAI, **fields: Any) -> bytes:
    asked = {"model": "tts-1", "voice": "alloy", "input": TEXT, "response_format": "wav"} | fields
    return (await openai.audio.speech.create(**asked)).content


async def test_a_text_is_spoken_in_the_default_voice(
    openai: AsyncOpenAI, torchserve: FakeTorchServe
) -> None:
    torchserve.answer = says
    assert len(read_wav(await spoken(openai), 24000)) == 2 * 2400


@pytest.mark.parametrize(
    ("voice", "ours"), [("alloy", "default"), ("onyx", "male"), ("male", "male")]
)
async def test_voices_have_openais_names_and_their_own(
    openai: AsyncOpenAI, torchserve: FakeTorchServe, voice: str, ours: str
) -> None:
    torchserve.answer = says
    await spoken(openai, voice=voice, speed=4.0)
    assert asked_of(torchserve)["voice"] == ours
    assert asked_of(torchserve)["speed"] == 4.0
    await spoken(openai, voice={"id": voice})
    assert asked_of(torchserve)["voice"] == ours


async def test_an_unknown_voice_is_told_with_those_that_are_known(openai: AsyncOpenAI) -> None:
    with pytest.raises(openai_package.NotFoundError) as refusal:
        await spoken(openai, voice="nobody")
    assert refusal.value.param == "voice"
    assert refusal.value.body["supported_voices"] == ["default", "male"]  # type: ignore[index]


async def test_instructions_give_the_voice_an_emotion(
    openai: AsyncOpenAI, torchserve: FakeTorchServe
) -> None:
    torchserve.answer = says
    await spoken(openai, model="gpt-4o-mini-tts", instructions="Speak in a cheerful tone.")
    assert asked_of(torchserve)["emotion"] == "happy"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": "x" * 5001}, "input"),
        ({"input": ""}, "input"),
        ({"speed": 4.5}, "speed"),
        ({"response_format": "midi"}, "response_format"),
        ({"model": "echo"}, "model"),
    ],
)
async def test_an_unspeakable_request_is_a_bad_request(
    openai: AsyncOpenAI, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai_package.BadRequestError) as refusal:
        await spoken(openai, **fields)
    assert refusal.value.param == param


async def test_events_hold_the_file_and_say_when_it_is_whole(
    client: Client, torchserve: FakeTorchServe
) -> None:
    torchserve.answer = says
    events = await speech_events(client, TEXT)
    assert {event["type"] for event in events[:-1]} == {"speech.audio.delta"}
    assert events[-1] == {"type": "speech.audio.done", "usage": None}


async def test_an_error_within_the_events_has_openais_form(
    client: Client, torchserve: FakeTorchServe
) -> None:
    torchserve.answer = says
    events = await speech_events(client, "This is well. This breaks.")
    assert events[0]["type"] == "speech.audio.delta"
    assert events[-1]["error"]["message"] == "Internal server error"


async def speech_events(client: Client, text: str) -> list[dict[str, Any]]:
    body = {"model": "tts-1", "voice": "alloy", "input": text, "stream_format": "sse"}
    response = await client.post("/v1/audio/speech", json=body)
    assert response.content_type == "text/event-stream"
    lines = (await response.text()).splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]


async def test_the_voices_are_listed_with_what_openais_names_mean(client: Client) -> None:
    answer = await (await client.get("/v1/audio/voices")).json()
    assert [(voice["id"], voice["model"]) for voice in answer["data"]] == [
        ("default", "hibari_tts"),
        ("male", "hibari_tts"),
    ]
    assert answer["aliases"]["onyx"] == "hibari_tts/male"


async def heard(openai: AsyncOpenAI, **fields: Any) -> Any:
    asked = {"model": "whisper-1", "file": CLIP} | fields
    return await openai.audio.transcriptions.create(**asked)


async def test_a_recording_is_written_down(openai: AsyncOpenAI, torchserve: FakeTorchServe) -> None:
    torchserve.answer = lambda _: HEARD
    answer = await heard(openai, language="en", prompt="x" * 2000, temperature=0.5)
    assert answer.text == "Hello there."
    assert answer.usage.seconds == 1.0
    assert asked_of(torchserve)["initial_prompt"] == "x" * 1000
    assert asked_of(torchserve)["temperature"] == 0.5


async def test_words_and_segments_come_with_their_times(
    openai: AsyncOpenAI, torchserve: FakeTorchServe
) -> None:
    torchserve.answer = lambda _: HEARD
    answer = await heard(
        openai, response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    assert asked_of(torchserve)["word_timestamps"] is True
    assert (answer.language, answer.duration, answer.task) == ("english", 1.0, "transcribe")
    assert [word.word for word in answer.words] == ["Hello", "there."]
    assert answer.segments[0].avg_logprob == pytest.approx(-0.693147)
    only_words = await heard(
        openai, response_format="verbose_json", timestamp_granularities=["word"]
    )
    assert only_words.segments is None


@pytest.mark.parametrize(
    ("name", "beginning"),
    [("text", "Hello there."), ("srt", "1\n00:00:00,100 -->"), ("vtt", "WEBVTT\n")],
)
async def test_every_other_format_is_text(
    openai: AsyncOpenAI, torchserve: FakeTorchServe, name: str, beginning: str
) -> None:
    torchserve.answer = lambda _: HEARD
    assert (await heard(openai, response_format=name)).startswith(beginning)


async def test_text_streams_as_it_is_heard(openai: AsyncOpenAI, torchserve: FakeTorchServe) -> None:
    torchserve.answer = lambda _: HEARD
    events = [event async for event in await heard(openai, stream=True)]
    assert "".join(event.delta for event in events[:-1]) == events[-1].text == "Hello there."
    assert [event.type for event in events[-2:]] == [
        "transcript.text.delta",
        "transcript.text.done",
    ]


@pytest.mark.filterwarnings(
    "ignore:deprecated:DeprecationWarning"
)  # the client's: it means OpenAI's
async def test_a_model_that_translates_writes_english_down(
    openai: AsyncOpenAI, torchserve: FakeTorchServe
) -> None:
    torchserve.answer = lambda _: HEARD | {"language": "de"}
    answer = await openai.audio.translations.create(
        model="polyglot", file=CLIP, response_format="verbose_json"
    )
    assert asked_of(torchserve)["task"] == "translate"
    assert answer.language == "english"
    with pytest.raises(openai_package.BadRequestError, match="does not translate"):
        await openai.audio.translations.create(model="whisper-1", file=CLIP)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"timestamp_granularities": ["word"]}, "timestamp_granularities"),
        ({"response_format": "diarized_json"}, "response_format"),
        ({"temperature": 2}, "temperature"),
        ({"language": "fr"}, "language"),
        ({"stream": True, "response_format": "srt"}, "stream"),
    ],
)
async def test_an_untranscribable_request_is_a_bad_request(
    openai: AsyncOpenAI, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai_package.BadRequestError) as refusal:
        await heard(openai, **fields)
    assert refusal.value.param == param


async def test_unsupported_openai_form_fields_are_ignored(
    openai: AsyncOpenAI, torchserve: FakeTorchServe
) -> None:
    torchserve.answer = lambda _: HEARD
    answer = await heard(
        openai, chunking_strategy={"type": "server_vad"}, include=["logprobs"], keywords=["a", "b"]
    )
    assert answer.text == "Hello there."


async def test_a_body_that_is_no_form_is_refused(client: Client) -> None:
    response = await client.post("/v1/audio/transcriptions", json={"model": "whisper-1"})
    assert response.status == 400
    assert "multipart" in (await response.json())["error"]["message"]
