"""SpeechSynthesisHandler with a VITS of the hub: any language, one speaker or many."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import VitsModel, VitsTokenizer

from handler_kit.errors import LoadError
from handler_kit.wav import Samples
from tests.checkpoints import vits
from tests.handlers.families import ROUNDED, check_batch_is_each_alone, check_is, load_family
from tests.handlers.loaded import Loaded
from tests.handlers.speaking import farthest, refusal, say

GERMAN = {"languages": ["de"]}
TEXT = "Grüß Gott, wie geht es Ihnen"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vits")
    vits.build(folder)
    return folder


@pytest.fixture(scope="module")
def choir_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("choir")
    vits.build(folder, speakers=3, stochastic=False)
    return folder


@pytest.fixture(scope="module")
def voice(folder: Path) -> Loaded:
    return load_family(folder, **GERMAN)


@pytest.fixture(scope="module")
def choir(choir_folder: Path) -> Loaded:
    voices = {"anna": {"speaker": "0"}, "bernd": {"speaker": "2"}}
    return load_family(choir_folder, voices=voices, **GERMAN)


def by_transformers(folder: Path, text: str, seed: int, rate: float, **more: Any) -> Samples:
    tokens = VitsTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    model = VitsModel.from_pretrained(folder)
    torch.manual_seed(seed)
    with torch.inference_mode():
        wave = model(**tokens, speaking_rate=rate, **more).waveform
    return wave[0].numpy()  # type: ignore[no-any-return]


@pytest.mark.parametrize("speed", [1.0, 1.6])
def test_samples_equal_transformers(voice: Loaded, folder: Path, speed: float) -> None:
    ours = say(voice, TEXT, seed=5, speed=speed)
    check_is(ours, by_transformers(folder, TEXT, 5, speed))


@pytest.mark.parametrize(("name", "number"), [("anna", 0), ("bernd", 2)])
def test_each_speaker_equals_transformers(
    choir: Loaded, choir_folder: Path, name: str, number: int
) -> None:
    ours = say(choir, TEXT, voice=name, seed=9)
    check_is(ours, by_transformers(choir_folder, TEXT, 9, 1.0, speaker_id=number))


def test_a_batch_equals_each_utterance_alone(voice: Loaded, choir: Loaded) -> None:
    texts = (TEXT, "Guten Morgen", "Ja, das ist gewiss ein schöner Tag")
    check_batch_is_each_alone(
        voice,
        *[{"text": text, "parameters": {"seed": at}} for at, text in enumerate(texts)],
        {"text": TEXT, "parameters": {"speed": 0.7}},
    )
    check_batch_is_each_alone(
        choir,
        *[{"text": TEXT, "parameters": {"voice": name}} for name in ("anna", "bernd")],
        {"text": texts[2], "parameters": {"voice": "bernd"}},
    )


def test_the_seed_decides(voice: Loaded) -> None:
    assert farthest(say(voice, TEXT, seed=1), say(voice, TEXT, seed=1)) == 0
    assert say(voice, TEXT, seed=1).tobytes() != say(voice, TEXT, seed=2).tobytes()


def test_volume_is_supported_by_every_voice(voice: Loaded) -> None:
    loud, quiet = (say(voice, TEXT, volume=volume) for volume in (0.4, 0.2))
    assert farthest(loud, 2 * quiet) < 4 * ROUNDED


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("pitch", 1.2), ("emotion", "happy"), ("speaker_embedding", [0.1]), ("reference_audio", "")],
)
def test_unsupported_parameters_are_refused(voice: Loaded, parameter: str, value: Any) -> None:
    assert refusal(voice, TEXT, **{parameter: value}).startswith(parameter)


def test_text_without_known_letters_is_refused(voice: Loaded) -> None:
    assert "nothing that can be spoken" in refusal(voice, "你好")


def test_a_voice_without_latin_letters_loads_and_speaks(tmp_path: Path) -> None:
    vits.build(tmp_path, letters=" абвгдежзиклмнопрстуы")
    russian = load_family(tmp_path, languages=["ru"])
    check_is(say(russian, "Добры утро"), by_transformers(tmp_path, "Добры утро", 0, 1.0))
    assert "nothing that can be spoken" in refusal(russian, "Good morning")


def test_text_that_must_be_romanised_first_is_refused(tmp_path: Path) -> None:
    vits.build(tmp_path, uroman=True)
    korean = load_family(tmp_path, languages=["ko"])
    assert "romanised" in refusal(korean, "안녕하세요")
    assert len(say(korean, "annyeong haseyo"))


def test_an_unknown_speaker_is_a_load_error(choir_folder: Path, folder: Path) -> None:
    with pytest.raises(LoadError, match="no speaker 7"):
        load_family(choir_folder, voices={"x": {"speaker": "7"}})
    with pytest.raises(LoadError, match="has only one"):
        load_family(folder, voices={"x": {"speaker": "0"}})


def test_an_incomplete_checkpoint_is_a_load_error(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"config\.json"):
        load_family(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(LoadError, match="'gpt2' is not a network that speaks"):
        load_family(tmp_path)
