"""What the speech routes refuse, and what they tell while nothing speaks yet."""

import base64
from typing import Any

import aiohttp
import pytest

from handler_kit.wav import write_wav
from tests.sidecar.conftest import CATALOG, ECHO, Client, StartSidecar

SPEAKING: dict[str, Any] = ECHO | {
    "auto_load": False,
    "task": "speech_synthesis",
    "handler": "speech_synthesis_handler",
    "handler_options": {"network": "hibari", "voices": {"anna": {}, "bert": {}}},
    "speech": {"sample_rate": 24000, "languages": ["en"], "controls": ["speed", "emotion"]},
}
LISTENING: dict[str, Any] = ECHO | {
    "auto_load": False,
    "task": "speech_recognition",
    "handler": "speech_recognition_handler",
    "speech": {"sample_rate": 16000, "languages": ["en"]},
}
FINDING: dict[str, Any] = ECHO | {
    "auto_load": False,
    "task": "voice_activity",
    "handler": "voice_activity_handler",
}
MODELS = CATALOG | {
    "hibari_tts": SPEAKING,
    "optional_tts": SPEAKING
    | {"optional": True, "handler_options": {"network": "hibari", "voices": {"carl": {}}}},
    "whisper_tiny_en": LISTENING,
    "vad": FINDING,
}
WAV = write_wav(bytes(32000), 16000)
CLIP = base64.b64encode(WAV).decode()


@pytest.fixture
async def client(start: StartSidecar) -> Client:
    return await start(catalog=MODELS, max_audio_seconds=2.0, max_upload_mb=0.1)


async def answer(client: Client, path: str, **kwargs: Any) -> tuple[int, dict[str, Any]]:
    async with client.post(path, **kwargs) as response:
        return response.status, await response.json()


SYNTHESIS: list[tuple[dict[str, Any], int, str]] = [
    ({}, 422, "text: give either text or inputs"),
    ({"text": "Hi", "inputs": "Hi"}, 422, "text: give either text or inputs"),
    ({"text": ""}, 422, "text"),
    ({"text": "Hi", "speed": 3}, 422, "speed"),
    ({"text": "Hi", "volume": "loud"}, 422, "volume"),
    ({"text": "Hi", "emotion": "bored"}, 422, "emotion"),
    ({"text": "Hi", "output_format": "midi"}, 422, "output_format"),
    ({"text": "Hi", "nonsense": 1}, 422, "nonsense"),
    ({"text": "Hi", "model": "a", "model_name": "b"}, 422, "model: give either"),
    ({"text": "Hi", "input_type": "html"}, 422, "input_type"),
    ({"text": "Hi", "timestamps": "phoneme"}, 422, "timestamps"),
    ({"text": "Hi", "format": "ass"}, 422, "format"),
    ({"text": "Hi", "pronunciations": ["GIF"]}, 422, "pronunciations"),
    ({"text": "Hi", "pronunciations": {"GIF": ""}}, 422, "pronunciations"),
    ({"text": "Hi", "pronunciations": {"": "a"}}, 422, "pronunciations"),
    ({"text": "Hi", "pronunciations": {"(x)": "a"}}, 422, "pronunciations"),
    ({"text": "Hi", "pronunciations": {"GIF": "a" * 101}}, 422, "pronunciations"),
    ({"text": "Hi", "pronunciations": {f"w{n}": "a" for n in range(101)}}, 422, "pronunciations"),
    ({"text": "Hi", "timeout": 1e6}, 422, "timeout: must be at most"),
    ({"text": "Hi", "token": "wrong"}, 401, "Not authenticated"),
    ({"text": "x" * 5001}, 400, "text: 5001 characters, the limit is 5000"),
    ({"inputs": "x" * 5001}, 400, "inputs: 5001 characters"),
    ({"text": "Hi", "model": "nobody"}, 404, "no such model"),
    ({"text": "Hi", "model": "echo"}, 400, "model: echo is not a model for speech synthesis"),
    ({"text": "Hi", "voice": "zoe"}, 404, "voice: expected one of: anna, bert, carl"),
    (
        {"text": "Hi", "model": "hibari_tts", "voice": "carl"},
        404,
        "voice: expected one of: anna, bert",
    ),
    ({"text": "Hi", "language": "de"}, 400, "language: expected one of: en"),
    ({"text": "Hi", "speaker_embedding": [0.1]}, 400, "speaker_embedding: hibari_tts does not"),
    ({"text": "Hi", "voice": "carl"}, 404, "scripts/build_archives optional_tts makes it"),
    ({"text": "Hi"}, 503, "hibari_tts: its archive is not in the model store"),
]


@pytest.mark.parametrize(("body", "status", "detail"), SYNTHESIS)
async def test_synthesize_refuses_and_says_why(
    client: Client, body: dict[str, Any], status: int, detail: str
) -> None:
    got, told = await answer(client, "/synthesize", json=body)
    assert (got, told["status_code"]) == (status, status)
    assert detail in told["detail"]


async def test_lengths_and_voices_are_in_the_answer_too(client: Client) -> None:
    _, told = await answer(client, "/synthesize", json={"text": "x" * 6000})
    assert (told["max_length"], told["current_length"]) == (5000, 6000)
    _, told = await answer(client, "/synthesize", json={"text": "Hi", "voice": "zoe"})
    assert told["supported_voices"] == ["anna", "bert", "carl"]
    _, told = await answer(client, "/synthesize", json={"text": "Hi", "model": "echo"})
    assert told["available_models"] == ["hibari_tts", "optional_tts"]


TRANSCRIPTION: list[tuple[dict[str, Any], int, str]] = [
    ({}, 422, "inputs: expected the audio"),
    ({"inputs": "/etc/passwd"}, 400, "this server opens no path"),
    ({"inputs": "http://example.com/a.wav"}, 400, "this server opens no path"),
    ({"inputs": "data:audio/wav,abc"}, 400, "inputs: expected data:audio"),
    ({"inputs": CLIP, "task": "translate"}, 400, "task: whisper_tiny_en does not translate"),
    ({"inputs": CLIP, "language": "de"}, 400, "language: expected one of: en"),
    ({"inputs": CLIP, "beam_size": 11}, 422, "beam_size"),
    ({"inputs": CLIP, "stream": True, "response_format": "srt"}, 422, "stream: requires"),
    (
        {"inputs": CLIP, "model": "hibari_tts"},
        400,
        "model: hibari_tts is not a model for speech recognition",
    ),
    ({"inputs": CLIP, "model": "nobody"}, 404, "no such model"),
    ({"inputs": CLIP}, 503, "vad: its archive is not in the model store"),
]


@pytest.mark.parametrize(("body", "status", "detail"), TRANSCRIPTION)
async def test_transcribe_refuses_and_says_why(
    client: Client, body: dict[str, Any], status: int, detail: str
) -> None:
    got, told = await answer(client, "/transcribe", json=body)
    assert got == status
    assert detail in told["detail"]


@pytest.mark.parametrize(
    "language", ["EN", "en-US", "en_GB", "eng", "English", " en ", "AUTO", "auto", ""]
)
async def test_a_language_is_known_by_all_its_names(client: Client, language: str) -> None:
    got, told = await answer(client, "/transcribe", json={"inputs": CLIP, "language": language})
    assert (got, "its archive is not in the model store" in told["detail"]) == (503, True)


@pytest.mark.parametrize("path", ["/transcribe", "/audio/validate"])
async def test_base64_may_have_raw_line_breaks(client: Client, path: str) -> None:
    """The shell's ``base64`` writes them, and JSON does not allow them."""
    lines = "\r\n".join(CLIP[at : at + 76] for at in range(0, len(CLIP), 76))
    got, _ = await answer(client, path, data=f'{{"inputs": "{lines}"}}'.encode())
    assert got == (503 if path == "/transcribe" else 200)


def form(data: bytes | None = WAV, **fields: str) -> aiohttp.FormData:
    made = aiohttp.FormData(default_to_multipart=True)
    if data is not None:
        made.add_field("file", data, filename="clip.wav")
    for name, value in fields.items():
        made.add_field(name, value)
    return made


FORMS: list[tuple[aiohttp.FormData, int, str]] = [
    (form(None, language="en"), 422, "file: needs the audio file"),
    (form(inputs="x"), 422, "inputs: in a form"),
    (form(nonsense="x"), 422, "nonsense"),
    (form(beam_size="many"), 422, "beam_size"),
    (form(token="wrong"), 401, "Not authenticated"),
    (form(bytes(200_000)), 413, "file: at most 0.1 MB"),
    (form(language="en", prompt="x" * 70_000), 422, "prompt: at most"),
]


@pytest.mark.parametrize(("data", "status", "detail"), FORMS)
async def test_a_form_is_checked_like_json(
    client: Client, data: aiohttp.FormData, status: int, detail: str
) -> None:
    got, told = await answer(client, "/transcribe", data=data)
    assert got == status
    assert detail in told["detail"]


@pytest.mark.parametrize(
    ("boundary", "data"),
    [("", b"nothing"), ("; boundary=x", b'--x\r\nContent-Disposition: name="\x05"\r\n\r\n')],
)
async def test_a_body_that_is_not_a_form_is_refused_as_such(
    client: Client, boundary: str, data: bytes
) -> None:
    headers = {"Content-Type": f"multipart/form-data{boundary}"}
    got, told = await answer(client, "/transcribe", data=data, headers=headers)
    assert (got, told["error"]) == (400, "The request body is not a valid multipart form")


async def test_a_file_is_described_by_the_name_it_came_with(client: Client) -> None:
    got, told = await answer(client, "/audio/validate", data=form(check_integrity="true"))
    assert got == 200
    assert told == {
        "valid": True,
        "file_path": "clip.wav",
        "size_bytes": len(WAV),
        "format": "wav",
        "format_valid": True,
        "duration": 1.0,
        "sample_rate": 16000,
        "estimated": False,
        "warnings": [],
        "error": None,
    }


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"#EXTM3U\nhttp://example.com/a.ts\n", "inputs"),
        (b"", "inputs"),
        (write_wav(bytes(200_000), 16000), "inputs"),
    ],
)
async def test_an_invalid_file_is_an_answer(client: Client, data: bytes, error: str) -> None:
    body = {"inputs": base64.b64encode(data).decode()}
    got, told = await answer(client, "/audio/validate", json=body)
    assert got == 200
    assert not told["valid"]
    assert error in told["error"]


async def test_states_are_told_before_anything_is_loaded(client: Client) -> None:
    async with client.get("/audio/models") as response:
        models = await response.json()
    states = {model["name"]: model["state"] for model in models["tts_models"]}
    assert states == {"hibari_tts": "archived", "optional_tts": "available"}
    async with client.get("/tts/health") as response:
        health = await response.json()
    assert health["available_voices"] == ["anna", "bert"]
    assert health["loaded_tts_models"] == []
    assert health["capabilities"]["real_time"] is None
    async with client.get("/audio/health") as response:
        assert (await response.json())["audio_system"]["models_loaded"] == 0
    async with client.get("/") as response:
        assert (await response.json())["tts_support"]["enabled"]
