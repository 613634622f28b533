"""Speech on real archives under a real TorchServe: it is understood, and it is as asked."""

import asyncio
import base64
import io
import itertools
import json
import re
from typing import Any, get_args

import aiohttp
import numpy as np
import pytest

from sidecar.schemas.synthesis import OutputFormat
from tests.integration.speech_client import Audio, decoded, loudness, pitch, speak, transcribe
from tests.integration.word_errors import word_error_rate
from tests.needs import need_recording
from tests.sentences import SENTENCES
from tests.waiting import until_awaited

pytestmark = pytest.mark.integration

SENTENCE = "The weather is fine today, and the children are playing in the garden behind the house."
TEXT = (
    "Dr. Smith paid $19.99 for three tickets. He left at 7:30 p.m. on Monday! Nobody knew why, "
    "but everybody talked about it for weeks. Would you have stayed?"
)
FORMATS = get_args(OutputFormat)


async def heard(http: aiohttp.ClientSession, audio: Audio) -> str:
    return str((await transcribe(http, audio.data))["transcription"])


async def test_our_recogniser_understands_our_voice(http: aiohttp.ClientSession) -> None:
    """All 44 sentences at once: they share forward passes on both ways."""
    spoken = await asyncio.gather(*(speak(http, text) for text in SENTENCES))
    texts = await asyncio.gather(*(heard(http, audio) for audio in spoken))
    rate = word_error_rate(SENTENCES, texts)
    print(f"word error rate: {rate:.4f}")
    assert rate <= 0.06


@pytest.mark.parametrize("voice", ["male", "deep", "warm", "bright"])
async def test_every_voice_is_understood(http: aiohttp.ClientSession, voice: str) -> None:
    some = SENTENCES[::6]
    spoken = await asyncio.gather(*(speak(http, text, voice=voice) for text in some))
    texts = await asyncio.gather(*(heard(http, audio) for audio in spoken))
    assert word_error_rate(some, texts) <= 0.08


async def test_a_person_is_understood_word_by_word(http: aiohttp.ClientSession) -> None:
    answer = await transcribe(
        http, need_recording("beckett.wav").read_bytes(), word_timestamps="true"
    )
    said = ["ever tried ever failed no matter try again fail again fail better"]
    assert word_error_rate(said, [answer["transcription"]]) == 0
    words = [word for segment in answer["segments"] for word in segment["words"]]
    assert len(words) == len(said[0].split())
    starts = [word["start"] for word in words]
    assert starts == sorted(starts)
    assert 0 <= starts[0] < starts[-1] < answer["duration"]


async def test_written_text_is_spoken_as_people_say_it(http: aiohttp.ClientSession) -> None:
    """The recogniser, which writes as people do, must write what was written."""
    text = "Write to jane at example.com before March 4, 2024. It costs $20 and 3 kg of it 50%."
    said = await heard(http, await speak(http, text.replace(" at ", "@")))
    assert word_error_rate([text], [said]) <= 0.06


FIELDS: list[tuple[dict[str, Any], float, float, float]] = [
    # changed, then the ratios to the plain sentence: seconds, pitch, loudness
    ({"speed": 2.0}, 0.5, 1.0, 1.0),
    ({"speed": 0.5}, 2.0, 1.0, 1.0),
    ({"pitch": 1.5}, 1.0, 1.5, 1.0),
    ({"pitch": 0.7}, 1.0, 0.7, 1.3),
    ({"volume": 0.5}, 1.0, 1.0, 0.55),
    ({"volume": 2.0}, 1.0, 1.0, 1.85),
    ({"emotion": "neutral"}, 1.0, 1.0, 1.0),
    ({"emotion": "happy"}, 0.95, 1.12, 1.1),
    ({"emotion": "sad"}, 1.15, 0.93, 0.82),
    ({"emotion": "angry"}, 0.92, 1.08, 1.2),
    ({"emotion": "excited"}, 0.88, 1.18, 1.15),
    ({"emotion": "calm"}, 1.1, 0.97, 0.88),
    ({"voice": "male"}, 1.0, 0.62, 1.1),
]


@pytest.mark.parametrize(("fields", "seconds", "hertz", "level"), FIELDS, ids=str)
async def test_the_audio_reflects_the_parameters(
    http: aiohttp.ClientSession, fields: dict[str, Any], seconds: float, hertz: float, level: float
) -> None:
    plain, changed = await speak(http, SENTENCE), await speak(http, SENTENCE, **fields)
    assert changed.seconds / plain.seconds == pytest.approx(seconds, rel=0.03)
    assert pitch(changed) / pitch(plain) == pytest.approx(hertz, rel=0.1)
    assert loudness(changed) / loudness(plain) == pytest.approx(level, rel=0.2)


async def test_the_same_seed_is_the_same_audio_and_another_is_not(
    http: aiohttp.ClientSession,
) -> None:
    first, again, other = await asyncio.gather(
        speak(http, SENTENCE, seed=7), speak(http, SENTENCE, seed=7), speak(http, SENTENCE, seed=8)
    )
    assert np.abs(first.samples - again.samples).max() < 1e-3
    assert np.abs(first.samples - other.samples).max() > 1e-3


async def test_concurrent_syntheses_equal_sequential_ones(http: aiohttp.ClientSession) -> None:
    alone = [await speak(http, text) for text in SENTENCES[:8]]
    crowd = await asyncio.gather(*(speak(http, text) for text in SENTENCES[:8]))
    for one, other in zip(alone, crowd, strict=True):
        assert np.abs(one.samples - other.samples).max() < 1e-3


@pytest.mark.parametrize("name", FORMATS)
async def test_a_stream_sounds_like_the_whole_file(http: aiohttp.ClientSession, name: str) -> None:
    whole = await speak(http, TEXT, output_format=name)
    body = {"text": TEXT, "output_format": name, "enable_streaming": True}
    async with http.post("/synthesize", json=body) as response:
        assert response.status == 200
        data = await response.read()
    streamed = await asyncio.to_thread(decoded, data, name)
    assert streamed.rate == whole.rate
    assert streamed.seconds == pytest.approx(whole.seconds, abs=0.12)
    assert best_match(whole.samples, streamed.samples, whole.rate) > 0.99


def best_match(first: Any, second: Any, rate: int) -> float:
    """The correlation of both at the shift, of at most 0.15 s, where it is highest."""
    size = min(len(first), len(second)) - rate // 5
    middle = first[rate // 10 : rate // 10 + size - rate // 5]
    scores = np.correlate(second[: len(middle) + rate // 4], middle, "valid")
    shift = int(scores.argmax())
    return float(np.corrcoef(middle, second[shift : shift + len(middle)])[0, 1])


async def test_the_first_sentence_is_sent_while_others_are_synthesised(
    http: aiohttp.ClientSession,
) -> None:
    body = {"text": " ".join(SENTENCES), "output_format": "mp3", "enable_streaming": True}
    async with http.post("/synthesize", json=body) as response:
        await response.content.readany()
        with_the_first = await synthesised(http)
        await response.read()
    assert with_the_first < await synthesised(http)


async def synthesised(http: aiohttp.ClientSession) -> float:
    """Return how many texts the voice has spoken since the server's start."""
    async with http.get("/metrics") as response:
        page = await response.text()
    counted = re.search(r"^sidecar_batch_size_sum\{.*hibari_tts.*\} (.+)$", page, re.MULTILINE)
    assert counted is not None
    return float(counted[1])


async def test_a_client_that_leaves_drops_what_is_queued(
    http: aiohttp.ClientSession, token: Any
) -> None:
    body = {"text": " ".join(SENTENCES), "enable_streaming": True}
    async with http.post("/synthesize", json=body) as response:
        await response.content.readany()
        response.close()

    async def at_rest() -> bool:
        async with http.get("/stats", headers=token("stats")) as answer:
            stats = (await answer.json())["stats"]
        return bool(stats["queue_size"] == stats["active_requests"] == 0)

    await until_awaited(at_rest)


async def test_long_audio_has_right_times_and_comes_in_segments(
    http: aiohttp.ClientSession,
) -> None:
    """Two minutes, sentence by sentence, each with two seconds of silence behind it."""
    some = SENTENCES[:20]
    spoken = await asyncio.gather(*(speak(http, text) for text in some))
    silence = np.zeros(2 * 24000, np.float32)
    parts = list(itertools.chain.from_iterable((audio.samples, silence) for audio in spoken))
    starts = np.cumsum([0, *map(len, parts)])[:-1:2] / 24000
    pcm = (np.concatenate(parts) * 32767).astype("<i2").tobytes()
    form = aiohttp.FormData()
    form.add_field("file", io.BytesIO(wav(pcm, 24000)), filename="long.wav")
    form.add_field("stream", "true")
    async with http.post("/transcribe", data=form) as response:
        assert response.content_type == "text/event-stream"
        lines = [line async for line in response.content if line.startswith(b"data: ")]
    events = [json.loads(line[6:]) for line in lines]
    *segments, done = events
    assert done["segments"] == segments
    assert done["duration"] == pytest.approx(len(pcm) / 48000, abs=0.1)
    assert word_error_rate([" ".join(some)], [done["transcription"]]) <= 0.06
    begun = [segment["start"] for segment in segments]
    assert begun == sorted(begun)
    for start in starts:
        assert min(abs(start - each) for each in begun) < 0.6


def wav(pcm: bytes, rate: int) -> bytes:
    from handler_kit.wav import write_wav  # noqa: PLC0415

    return write_wav(pcm, rate)


@pytest.mark.parametrize("name", ["silence", "noise", "hum"])
async def test_silence_is_not_transcribed(http: aiohttp.ClientSession, name: str) -> None:
    count = 12 * 16000
    sound = {
        "silence": np.zeros(count),
        "noise": np.random.default_rng(0).normal(0, 0.1, count),
        "hum": 0.3 * np.sin(2 * np.pi * 50 * np.arange(count) / 16000),
    }[name]
    answer = await transcribe(
        http, wav((sound * 32767).clip(-32768, 32767).astype("<i2").tobytes(), 16000)
    )
    assert (answer["transcription"], answer["segments"]) == ("", [])


async def test_omitted_audio_is_reported(http: aiohttp.ClientSession) -> None:
    audio = await speak(http, SENTENCE)
    whole = wav((audio.samples * 32767).astype("<i2").tobytes(), audio.rate)
    assert (await transcribe(http, whole))["warnings"] == []
    cut = (await transcribe(http, whole[: len(whole) * 2 // 3]))["warnings"]
    assert [each.partition(" at ")[0] for each in cut] == ["it was cut off"]
    junk = whole[:44] + bytes(range(150))
    answer = await transcribe(http, junk, language="EN")
    assert answer["transcription"] == ""
    assert ["cut off" in each or "no speech" in each for each in answer["warnings"]] == [True, True]
    form = aiohttp.FormData({"response_format": "srt"})
    form.add_field("file", io.BytesIO(junk), filename="clip.wav")
    async with http.post("/transcribe", data=form) as response:
        assert response.headers["X-Warnings"] == "; ".join(answer["warnings"])
    lines = base64.encodebytes(junk).decode()
    async with http.post("/transcribe", json={"inputs": lines}) as response:
        assert (await response.json())["warnings"] == answer["warnings"]
    body = {"model_name": "whisper_tiny_en", "inputs": f"data:audio/wav;base64,{lines}"}
    async with http.post("/predict", json=body) as response:
        assert (await response.json())["result"]["warnings"] == answer["warnings"]


@pytest.mark.parametrize("decibels", [-30, -50])
async def test_quiet_speech_is_heard(http: aiohttp.ClientSession, decibels: float) -> None:
    """Of a voice at some -20 dBFS."""
    audio = await speak(http, SENTENCE)
    quiet = audio.samples * 10 ** (decibels / 20)
    said = await transcribe(http, wav((quiet * 32767).round().astype("<i2").tobytes(), audio.rate))
    assert word_error_rate([SENTENCE], [said["transcription"]]) <= 0.1


async def test_predict_speaks_and_listens_in_batches(http: aiohttp.ClientSession) -> None:
    texts = [*SENTENCES[:3], {"text": SENTENCES[3], "parameters": {"voice": "male"}}]
    body = {"model_name": "hibari_tts", "inputs": texts[:3]}
    async with http.post("/predict", json=body) as response:
        spoken = (await response.json())["result"]
    clips = [f"data:audio/wav;base64,{each['audio_data']}" for each in spoken]
    body = {"model_name": "whisper_tiny_en", "inputs": clips}
    async with http.post("/predict", json=body) as response:
        answer = await response.json()
    assert word_error_rate(SENTENCES[:3], [each["text"] for each in answer["result"]]) <= 0.1
    assert answer["batch_info"]["processed_as_batch"]
    async with http.post(
        "/predict", json={"model_name": "hibari_tts", "inputs": texts[3]}
    ) as response:
        one = (await response.json())["result"]
    assert decoded(base64.b64decode(one["audio_data"])).seconds == pytest.approx(
        one["duration"], abs=0.01
    )


async def test_other_containers_are_heard_too(http: aiohttp.ClientSession) -> None:
    for name in ("mp3", "flac", "ogg", "aac"):
        audio = await speak(http, SENTENCE, output_format=name)
        said = (await transcribe(http, audio.data))["transcription"]
        assert word_error_rate([SENTENCE], [said]) <= 0.1, name


async def test_info_tells_of_speech(http: aiohttp.ClientSession) -> None:
    await speak(http, SENTENCE)
    async with http.get("/info") as response:
        info = await response.json()
    assert info["tts_service"]["status"] == "healthy"
    assert {"default", "female", "male"} <= set(info["tts_service"]["available_voices"])
    assert info["tts_service"]["capabilities"]["real_time"] is True
    assert info["performance_metrics"]["tts_metrics"]["synthesis_requests_total"] > 0
    assert info["server_config"]["tts_backend"] == "pytorch"
