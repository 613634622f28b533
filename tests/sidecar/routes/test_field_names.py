"""An error names the field that the client sent, whichever form the request had."""

from typing import Any

import msgspec
import pytest

from sidecar.errors import InvalidFields, ModelNotFound
from sidecar.schemas.synthesis import SynthesisRequest
from sidecar.web.body import invalid_fields
from tests.fake_torchserve import FakeTorchServe, Refuse
from tests.sidecar.conftest import CATALOG, Client, StartSidecar
from tests.sidecar.routes.test_speech_refusals import CLIP, FINDING, LISTENING, SPEAKING


@pytest.fixture
async def client(start: StartSidecar, torchserve: FakeTorchServe) -> Client:
    torchserve.archives |= {"hibari_tts.mar", "whisper_tiny_en.mar", "vad.mar"}
    models = {"hibari_tts": SPEAKING, "whisper_tiny_en": LISTENING, "vad": FINDING}
    return await start(catalog=CATALOG | models)


async def refusal(client: Client, path: str, **body: object) -> str:
    async with client.post(path, json=body) as response:
        answer = await response.json()
        assert response.status in (400, 404, 422), answer
        detail: str = answer["detail"]
        return detail


@pytest.mark.parametrize("field", ["text", "inputs"])
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_refusal_by_a_voice_names_the_field_of_the_text(
    client: Client, torchserve: FakeTorchServe, field: str, streamed: bool
) -> None:
    def refuse(_: object) -> object:
        raise Refuse(400, "<audio> cannot be done", field="text")

    torchserve.answer = refuse
    body = {field: "<speak><audio/></speak>", "input_type": "ssml", "enable_streaming": streamed}
    assert await refusal(client, "/synthesize", **body) == f"{field}: <audio> cannot be done"


async def test_a_part_that_a_voice_refuses_keeps_its_name(
    client: Client, torchserve: FakeTorchServe
) -> None:
    def refuse(_: object) -> object:
        raise Refuse(400, "GIF: must have a vowel", field="pronunciations")

    torchserve.answer = refuse
    expected = "pronunciations: GIF: must have a vowel"
    assert await refusal(client, "/synthesize", inputs="A GIF.") == expected
    asked = {"model_name": "hibari_tts", "inputs": {"text": "A GIF.", "parameters": {}}}
    assert await refusal(client, "/predict", **asked) == f"inputs.parameters.{expected}"


@pytest.mark.parametrize("field", ["model", "model_name"])
async def test_an_unsuitable_model_is_refused_by_its_field(client: Client, field: str) -> None:
    assert (await refusal(client, "/synthesize", text="Hi", **{field: "echo"})).startswith(
        f"{field}: echo is not a model for speech synthesis"
    )
    assert (await refusal(client, "/transcribe", inputs=CLIP, **{field: "nobody"})).startswith(
        f"{field}: no such model"
    )


CLONED = {"speaker_embedding": [0.5], "reference_audio": CLIP}


@pytest.mark.parametrize("name", CLONED)
async def test_predict_refuses_a_voice_to_clone_as_synthesize_does(
    client: Client, name: str
) -> None:
    rule = f"{name}: hibari_tts does not support it; /audio/models lists the voices that do"
    voice = {name: CLONED[name]}
    assert await refusal(client, "/synthesize", text="Hi", model="hibari_tts", **voice) == rule
    asked = {"model_name": "hibari_tts", "inputs": {"text": "Hi", "parameters": voice}}
    assert await refusal(client, "/predict", **asked) == f"inputs.parameters.{rule}"


async def test_predict_refuses_a_translation_as_transcribe_does(client: Client) -> None:
    rule = "task: whisper_tiny_en does not translate"
    asked = {"inputs": CLIP, "model": "whisper_tiny_en", "task": "translate"}
    assert await refusal(client, "/transcribe", **asked) == rule
    inputs = {"audio": CLIP, "parameters": {"task": "translate"}}
    predicted = {"model_name": "whisper_tiny_en", "inputs": inputs}
    assert await refusal(client, "/predict", **predicted) == f"inputs.parameters.{rule}"


def test_a_renamed_refusal_leaves_the_first_as_it_was() -> None:
    first = ModelNotFound("nobody")
    other = first.renamed("model")
    assert type(other) is ModelNotFound
    assert other.detail == "model: no such model in the catalog"
    assert first.detail == "model_name: no such model in the catalog"
    assert (other.extra, other.status) == (first.extra, 404)


@pytest.mark.parametrize(
    ("body", "field", "rule"),
    [
        ({}, "text", "give either text or inputs"),
        ({"text": "Hi", "speed": 9}, "speed", "Expected `float` <= 2.0"),
        ({"text": "Hi", "nonsense": 1}, "nonsense", "Object contains unknown field `nonsense`"),
        (
            {"text": "Hi", "voise": "anna"},
            "voise",
            "Object contains unknown field `voise`; did you mean voice?",
        ),
        ({"text": "Hi", "x" * 5000: 1}, "x" * 5000, f"Object contains unknown field `{'x' * 269}…"),
        ([], "body", "Expected `object`, got `array`"),
    ],
)
def test_a_schema_tells_field_and_rule_apart(body: object, field: str, rule: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(body, SynthesisRequest)
    refused = invalid_fields(caught.value, SynthesisRequest)
    assert type(refused) is InvalidFields
    assert (refused.field, refused.rule) == (field, rule)
    inner = invalid_fields(caught.value, SynthesisRequest, within="inputs.parameters")
    assert inner.field == ("inputs.parameters" if field == "body" else f"inputs.parameters.{field}")


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        (
            "/predict",
            {"model_name": "echo", "inputs": [1], "prioritty": 1},
            "prioritty: Object contains unknown field `prioritty`; did you mean priority?",
        ),
        (
            "/predict",
            {"model_name": "hibari_tts", "inputs": {"text": "Hi", "parameters": {"sped": 2}}},
            "inputs.parameters.sped: Object contains unknown field `sped`; did you mean speed?",
        ),
        (
            "/transcribe",
            {"inputs": CLIP, "langage": "en"},
            "langage: Object contains unknown field `langage`; did you mean language?",
        ),
    ],
)
async def test_an_unknown_field_gets_the_nearest_name(
    client: Client, path: str, body: dict[str, Any], said: str
) -> None:
    assert await refusal(client, path, **body) == said
