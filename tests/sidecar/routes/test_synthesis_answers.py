"""POST /synthesize on a fake voice: kept answers, streams that break, who is asked for what."""

import asyncio
import base64
import json
import threading
from typing import Any

import aiohttp
import jsonschema
import pytest

from handler_kit.wav import read_wav
from sidecar.program import PROGRAM
from sidecar.routes.groups import GROUPS
from sidecar.routes.speech_stream import FIRST_BYTES
from sidecar.web.openapi import build_document
from tests.fake_torchserve import FakeTorchServe, Refuse, Spoken, Unspoken
from tests.sidecar.conftest import CATALOG, Client, StartSidecar
from tests.sidecar.routes.test_speech_refusals import SPEAKING
from tests.sidecar.telemetry.test_metrics import until_scraped
from tests.waiting import until

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


async def test_a_long_first_sentence_is_sent_before_it_is_fully_encoded(
    voice: Client, torchserve: FakeTorchServe
) -> None:
    torchserve.answer = lambda _: Spoken(50 * TONE)
    body = {"text": "One sentence.", "enable_streaming": True, "output_format": "pcm"}
    async with voice.post("/synthesize", json=body, headers=AUDIO) as response:
        pieces, piece = [], b""
        async for data, ended in response.content.iter_chunks():
            piece += data
            if ended and piece:  # the end of a chunk may come behind its last byte
                pieces.append(piece)
                piece = b""
    sizes = list(map(len, pieces))
    assert sizes[:5] == [4096, 8192, 16384, 32768, 65536]
    assert len(sizes) == 6
    assert b"".join(pieces) == 50 * TONE


async def test_the_beginning_of_a_stream_is_encoded_before_turns_that_wait(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    torchserve.answer = says
    torchserve.archives |= {"hibari_tts.mar"}
    voice = await start(catalog=CATALOG | {"hibari_tts": SPEAKING}, audio_threads=1)
    assert voice.app is not None
    in_thread = voice.app[PROGRAM].speech.in_threads_of("somebody else")
    begun, first, second = (threading.Event() for _ in range(3))

    def occupy() -> None:
        begun.set()
        first.wait()

    async def hear() -> bytes:
        body = {"text": TEXT, "enable_streaming": True, "output_format": "pcm"}
        async with voice.post("/synthesize", json=body, headers=AUDIO) as response:
            return await response.content.readexactly(FIRST_BYTES)

    turns = [asyncio.ensure_future(in_thread(each)) for each in (occupy, second.wait)]
    await until(begun.is_set)
    heard = asyncio.create_task(hear())
    spoken = "sidecar_time_to_first_audio_seconds_count{model=hibari_tts}"
    await until_scraped(voice, lambda now: now.get(spoken) == 1)
    first.set()
    try:
        # While the second turn takes its time.
        assert await asyncio.wait_for(heard, 60) == TONE[:FIRST_BYTES]
    finally:
        second.set()
        await asyncio.gather(*turns)


async def test_a_stream_queues_more_as_more_of_it_has_come(
    voice: Client, torchserve: FakeTorchServe
) -> None:
    await speak(voice, text="Here is one more. " * 30, enable_streaming=True, output_format="pcm")
    sizes = [len(job) for job in torchserve.jobs]
    assert sizes[:2] == [1, 1]
    assert max(sizes) > 2
    assert sum(sizes) == 30


async def test_prose_is_spoken_without_being_read_first(
    voice: Client, torchserve: FakeTorchServe
) -> None:
    sentence = "Nobody knew why the lights went out so suddenly, and it's still dark."
    await speak(voice, text=" ".join([sentence] * 40), enable_streaming=True)
    assert torchserve.jobs[0] == [sentence]
    assert not any(item["parameters"].get("only_read") for job in torchserve.items for item in job)


def begins(value: Any) -> Any:
    """A handler that says the beginning of a text; each part of it has samples of its own."""
    if value.isdigit():
        return Spoken(bytes([int(value), 0]) * 2400)
    rest = [{"seconds": 1.0, "script": n} for n in (2, 3)]
    return Spoken(bytes([1, 0]) * 2400, {"rest": rest} if value.startswith("First") else {})


async def test_of_a_stream_the_beginning_comes_first_and_its_rest_follows(
    voice: Client, torchserve: FakeTorchServe
) -> None:
    torchserve.answer = begins
    audio = await speak(voice, enable_streaming=True, output_format="pcm", seed=4)
    assert list(audio[::4800]) == [1, 2, 3, 1, 1]
    items = [item for job in torchserve.items for item in job]
    assert [item["type"] for item in items] == ["text", "script", "script", "text", "text"]
    assert [item["parameters"].get("only_beginning") for item in items] == [True] + [None] * 4
    assert {item["parameters"]["seed"] for item in items} == {4}
    assert len(torchserve.items[0]) == 1


async def test_what_is_not_streamed_is_spoken_in_whole_sentences(
    voice: Client, torchserve: FakeTorchServe
) -> None:
    await speak(voice)
    items = [item for job in torchserve.items for item in job]
    assert not any("only_beginning" in item["parameters"] for item in items)


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
    assert voice.app is not None
    statistics = voice.app[PROGRAM].statistics
    await until(lambda: not statistics.active)
    said = [sentence for job in torchserve.jobs for sentence in job]
    assert len(said) <= 3
    assert len(read_wav(await speak(voice, text="Hello."), 24000)) == 2400


def reads(parts: list[float]) -> Any:
    """A handler that reads every sentence as parts of these lengths, and says what is one."""

    def answer(value: Any) -> Any:
        if isinstance(value, list):
            return Unspoken([{"seconds": s, "script": {"n": n}} for n, s in enumerate(parts)])
        return Spoken(TONE)

    return answer


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("form", ["text", "inputs"])
async def test_speech_that_would_be_too_long_is_refused_before_any_is_made(
    voice: Client, torchserve: FakeTorchServe, form: str, streaming: bool
) -> None:
    torchserve.answer = reads([500.0, 401.0])
    body = {form: "1" * 950, "enable_streaming": streaming}
    response = await voice.post("/synthesize", json=body)
    answer = await response.json()
    assert response.status == 400
    assert answer["max_speech_seconds"] == 900
    assert answer["speech_seconds"] == 1802  # 950 characters are read in two parts
    assert "about 1802 s of speech, at most 900 s are allowed" in answer["detail"]
    assert all(item["type"] == "json" for job in torchserve.items for item in job if "type" in item)


async def test_predict_refuses_too_long_speech_alike(
    voice: Client, torchserve: FakeTorchServe
) -> None:
    torchserve.answer = reads([901.0])
    response = await voice.post("/predict", json={"model_name": "hibari_tts", "inputs": "1" * 950})
    assert response.status == 400
    assert "901 s" in (await response.json())["detail"] or "1802 s" in await response.text()


async def test_a_long_text_is_read_and_then_spoken_part_by_part(
    voice: Client, torchserve: FakeTorchServe
) -> None:
    torchserve.answer = reads([10.0, 20.0, 30.0])
    assert len(read_wav(await speak(voice, text="1" * 950), 24000)) == 6 * 2400
    types = [item.get("type", "json") for job in torchserve.items for item in job]
    assert types == ["json"] * 2 + ["script"] * 6


async def test_a_sentence_that_has_no_room_is_spoken_in_its_place(
    voice: Client, torchserve: FakeTorchServe
) -> None:
    low, high = (bytes([n, 0]) * 2400 for n in (1, 2))

    def answer(value: Any) -> Any:
        if value == "Then comes that.":
            return Unspoken([{"seconds": 1, "script": "high"}, {"seconds": 1, "script": "high"}])
        return Spoken(high if "high" in value else low)

    torchserve.answer = answer
    audio = await speak(voice, output_format="pcm")
    assert audio == low + high + high + low


LEFT_OUT = {"left_out": {"Cyrillic": ["Привет"], "Chinese characters": ["世界"]}}


async def test_omitted_words_are_a_warning_in_every_form(
    voice: Client, torchserve: FakeTorchServe
) -> None:
    torchserve.answer = lambda _: Spoken(TONE, LEFT_OUT)
    expected = [
        "text: left out what the voice cannot say: Привет (Cyrillic)",
        "text: left out what the voice cannot say: 世界 (Chinese characters)",
    ]
    for name in ("text", "inputs"):
        response = await voice.post("/synthesize", json={name: "Hello. And hello."})
        assert (await response.json())["warnings"] == expected
    asked = {"model_name": "hibari_tts", "inputs": "Hello."}
    response = await voice.post("/predict", json=asked)
    assert (await response.json())["result"]["warnings"] == expected
    for streaming in (False, True):
        body = {"text": "Hello.", "enable_streaming": streaming}
        async with voice.post("/synthesize", json=body, headers=AUDIO) as response:
            told = response.headers["X-Warnings"]
            assert told.endswith("cannot say: Cyrillic, Chinese characters")
            await response.read()


async def test_an_answer_without_warnings_says_so(voice: Client) -> None:
    response = await voice.post("/synthesize", json={"text": "Hello."})
    assert (await response.json())["warnings"] == []
    async with voice.post("/synthesize", json={"text": "Hello."}, headers=AUDIO) as response:
        assert "X-Warnings" not in response.headers


@pytest.mark.parametrize(
    "fields",
    [
        {"text": "<speak>One. Two.</speak>", "input_type": "ssml"},
        {"text": "**One. Two.**"},
        {"text": "Hello Привет. Bye."},
    ],
)
async def test_an_indivisible_text_is_read_whole_before_it_is_spoken(
    voice: Client, torchserve: FakeTorchServe, fields: dict[str, str]
) -> None:
    """Markup encloses sentences, and a stream's head must know what is left out."""
    parts = [{"seconds": 0.1, "script": {"first": place}} for place in range(2)]
    torchserve.answer = lambda value: (
        Unspoken(parts, LEFT_OUT) if value == fields["text"] else Spoken(TONE)
    )
    body = fields | {"enable_streaming": True, "output_format": "pcm"}
    async with voice.post("/synthesize", json=body, headers=AUDIO) as response:
        assert "X-Warnings" in response.headers
        assert await response.read() == 2 * TONE
    assert torchserve.jobs[0] == [fields["text"]]
    asked = torchserve.items[0][0]["parameters"]
    assert asked["only_read"] is True
    assert "index" not in asked
    assert asked.get("input_type") == fields.get("input_type")


async def test_pronunciations_reach_each_sentence_and_the_cache_key(
    voice: Client, torchserve: FakeTorchServe
) -> None:
    words = {"GIF": "dʒɪf"}
    await speak(voice, pronunciations=words)
    asked = [item["parameters"] for job in torchserve.items for item in job]
    assert [each["pronunciations"] for each in asked] == [words] * 3
    jobs = len(torchserve.jobs)
    await speak(voice)
    assert len(torchserve.jobs) > jobs
    assert "pronunciations" not in torchserve.items[-1][0]["parameters"]


def timed(value: Any) -> Any:
    """Two words in a tenth of a second of audio."""
    first, last = value.split()[0], value.split()[-1]
    return Spoken(TONE, {"words": [[first, 0.01, 0.04], [last, 0.05, 0.09]]})


WORDS = [
    {"word": "First", "start": 0.01, "end": 0.04},
    {"word": "this.", "start": 0.05, "end": 0.09},
    {"word": "Then", "start": 0.11, "end": 0.14},
    {"word": "that.", "start": 0.15, "end": 0.19},
    {"word": "And", "start": 0.21, "end": 0.24},
    {"word": "last.", "start": 0.25, "end": 0.29},
]
SRT = (
    "1\n00:00:00,010 --> 00:00:00,090\nFirst this.\n\n"
    "2\n00:00:00,110 --> 00:00:00,190\nThen that.\n"
)


@pytest.mark.parametrize("form", ["text", "inputs"])
async def test_words_have_their_times_in_the_whole_audio(
    voice: Client, torchserve: FakeTorchServe, form: str
) -> None:
    torchserve.answer = timed
    response = await voice.post("/synthesize", json={form: TEXT, "timestamps": "word"})
    told = await response.json()
    assert told["words"] == WORDS
    assert "captions" not in told
    asked = [item["parameters"] for job in torchserve.items for item in job]
    assert {each["timestamps"] for each in asked} == {"word"}


async def test_predict_tells_the_words_times_alike(
    voice: Client, torchserve: FakeTorchServe
) -> None:
    torchserve.answer = timed
    inputs = {"text": TEXT, "parameters": {"timestamps": "word"}}
    response = await voice.post("/predict", json={"model_name": "hibari_tts", "inputs": inputs})
    assert (await response.json())["result"]["words"] == WORDS


async def test_word_times_are_absent_unless_requested(
    voice: Client, torchserve: FakeTorchServe
) -> None:
    response = await voice.post("/synthesize", json={"text": TEXT})
    assert "words" not in await response.json()
    assert all("timestamps" not in i["parameters"] for job in torchserve.items for i in job)


async def test_captions_stand_beside_the_audio(voice: Client, torchserve: FakeTorchServe) -> None:
    torchserve.answer = timed
    response = await voice.post("/synthesize", json={"text": TEXT, "format": "srt"})
    told = await response.json()
    assert told["captions"].startswith(SRT)
    response = await voice.post("/synthesize", json={"text": TEXT, "format": "vtt"})
    assert (await response.json())["captions"].startswith("WEBVTT\n\n00:00:00.010 --> 00:00:00.090")


async def test_a_stream_with_times_is_one_of_events(
    voice: Client, torchserve: FakeTorchServe
) -> None:
    torchserve.answer = timed
    body = {
        "text": TEXT,
        "timestamps": "word",
        "format": "srt",
        "enable_streaming": True,
        "output_format": "pcm",
    }
    async with voice.post("/synthesize", json=body) as response:
        assert response.content_type == "text/event-stream"
        events = [part.split("\n") for part in (await response.text()).strip().split("\n\n")]
    names = [name.removeprefix("event: ") for name, _ in events]
    data = [json.loads(each.removeprefix("data: ")) for _, each in events]
    assert names == ["audio"] * (len(names) - 1) + ["done"]
    assert b"".join(base64.b64decode(each["audio_data"]) for each in data[:-1]) == 3 * TONE
    assert [word for each in data[:-1] for word in each["words"]] == WORDS
    assert data[0]["words"] == WORDS[:2]
    assert data[-1]["duration"] == 0.3
    assert data[-1]["captions"].startswith(SRT)
    schemas = event_schemas("/synthesize")
    assert set(schemas) == {"audio", "done", "error"}
    for name, each in zip(names, data, strict=True):
        schemas[name].validate(each)


async def test_events_begin_before_the_first_part_is_encoded_and_have_the_words_of_their_audio(
    voice: Client, torchserve: FakeTorchServe
) -> None:
    words = [["early", 0.05, 0.1], ["later", 0.4, 0.6], ["last", 4.9, 5.0]]
    torchserve.answer = lambda _: Spoken(50 * TONE, {"words": words})
    body = {"text": "Early later last.", "timestamps": "word", "enable_streaming": True}
    async with voice.post("/synthesize", json=body | {"output_format": "pcm"}) as response:
        events = [part.split("data: ")[1] for part in (await response.text()).strip().split("\n\n")]
    *pieces, _ = [json.loads(each) for each in events]
    audio = [base64.b64decode(each["audio_data"]) for each in pieces]
    assert len(audio[0]) == FIRST_BYTES
    assert b"".join(audio) == 50 * TONE
    told = [[word["word"] for word in each["words"]] for each in pieces]
    assert told[:3] == [["early"], [], ["later"]]
    assert [word for each in told for word in each] == ["early", "later", "last"]


def event_schemas(path: str) -> dict[str, jsonschema.Draft202012Validator]:
    """Of the data of each event that the API document says of *path*."""
    document = json.loads(json.dumps(build_document(GROUPS, 300.0)))
    content = document["paths"][path]["post"]["responses"]["200"]["content"]
    return {
        each["properties"]["event"]["const"]: jsonschema.Draft202012Validator(
            {"components": document["components"]} | each["properties"]["data"]["contentSchema"]
        )
        for each in content["text/event-stream"]["x-itemSchema"]["oneOf"]
    }


@pytest.mark.parametrize(("field", "value"), [("timestamps", "word"), ("format", "vtt")])
async def test_an_audio_file_has_no_place_for_times(voice: Client, field: str, value: str) -> None:
    response = await voice.post("/synthesize", json={"text": TEXT, field: value}, headers=AUDIO)
    assert response.status == 400
    assert (await response.json())["detail"].startswith(f"{field}: an audio file cannot contain it")
