"""SpeechSynthesisHandler with SpeechT5: voices by name, by numbers, by an example."""

import base64
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    SpeechT5ForTextToSpeech,
    SpeechT5HifiGan,
    SpeechT5Tokenizer,
    Wav2Vec2FeatureExtractor,
    WavLMForXVector,
)

from handler_kit.errors import LoadError
from handler_kit.wav import Samples, from_pcm, to_pcm, write_wav
from tests.checkpoints import speecht5
from tests.handlers.families import check_batch_is_each_alone, check_is, load_family
from tests.handlers.loaded import Loaded
from tests.handlers.speaking import refusal, say

TEXT = "The sea, the sky."
VOICES: dict[str, Any] = {"slt": {}, "man": {"speaker": "bdl"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speecht5")
    speecht5.build(folder)
    return folder


@pytest.fixture(scope="module")
def voice(folder: Path) -> Loaded:
    return load_family(folder, voices=VOICES)


def wav(seconds: float, hertz: float = 150) -> str:
    """Something voiced, as a client sends it."""
    time = np.arange(int(seconds * 16000)) / 16000
    samples = sum(np.sin(2 * np.pi * hertz * harmonic * time) / harmonic for harmonic in (1, 2, 3))
    pcm = to_pcm((0.3 * np.asarray(samples)).astype(np.float32))
    return base64.b64encode(write_wav(pcm, 16000)).decode()


@torch.inference_mode()
def by_transformers(folder: Path, text: str, embedding: torch.Tensor, seed: int) -> Samples:
    model: Any = SpeechT5ForTextToSpeech.from_pretrained(folder)
    vocoder = SpeechT5HifiGan.from_pretrained(folder / "vocoder")
    tokens: Any = SpeechT5Tokenizer.from_pretrained(folder)(text, return_tensors="pt")
    torch.manual_seed(seed)
    samples = model.generate_speech(tokens["input_ids"], embedding[None], vocoder=vocoder)
    return np.asarray(samples.numpy())


@pytest.mark.parametrize(("name", "speaker"), [("slt", "slt"), ("man", "bdl")])
def test_samples_equal_transformers(voice: Loaded, folder: Path, name: str, speaker: str) -> None:
    own = load_file(folder / "speakers.safetensors")[speaker]
    ours = say(voice, TEXT, voice=name, seed=3)
    check_is(ours, by_transformers(folder, TEXT, own, 3))


def test_a_speaker_embedding_replaces_the_voice(voice: Loaded, folder: Path) -> None:
    numbers = np.random.default_rng(0).standard_normal(512).astype(np.float32)
    ours = say(voice, TEXT, seed=4, speaker_embedding=numbers.tolist())
    check_is(ours, by_transformers(folder, TEXT, torch.from_numpy(numbers), 4))


@torch.inference_mode()
def test_reference_audio_replaces_the_voice(voice: Loaded, folder: Path) -> None:
    extractor: Any = Wav2Vec2FeatureExtractor.from_pretrained(folder / "xvector")
    listener: Any = WavLMForXVector.from_pretrained(folder / "xvector")
    pcm = base64.b64decode(wav(2.0))[44:]
    heard = listener(**extractor(from_pcm(pcm), sampling_rate=16000, return_tensors="pt"))
    expected = torch.nn.functional.normalize(heard.embeddings[0], dim=0)
    for _ in range(2):  # the second time it is remembered
        ours = say(voice, TEXT, seed=5, reference_audio=wav(2.0))
        check_is(ours, by_transformers(folder, TEXT, expected, 5))
    other = say(voice, TEXT, seed=5, reference_audio="data:audio/wav;base64," + wav(2.0, 250))
    assert other.tobytes() != ours.tobytes()


def test_a_batch_equals_each_utterance_alone(voice: Loaded) -> None:
    check_batch_is_each_alone(
        voice,
        {"text": TEXT, "parameters": {"seed": 1}},
        {"text": "Why not?", "parameters": {"voice": "man"}},
        {"text": "Yes. No.", "parameters": {"seed": 2**40}},
    )


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"speed": 1.5}, "speed: "),
        ({"pitch": 1.5}, "pitch: "),
        ({"emotion": "sad"}, "emotion: "),
        ({"speaker_embedding": [0.5] * 100}, "must have 512 numbers, not 100"),
        ({"speaker_embedding": [0.0] * 512}, "not all zero"),
        ({"reference_audio": "%"}, "reference_audio: is not valid base64"),
        ({"reference_audio": base64.b64encode(b"OggS" * 20).decode()}, "reference_audio: The inp"),
        ({"reference_audio": wav(0.5)}, "reference_audio: it lasts 0.5 s"),
        ({"reference_audio": wav(2), "speaker_embedding": [1.0] * 512}, "give either"),
        ({"voice": "nobody"}, "voice: expected one of: slt, man"),
    ],
)
def test_invalid_parameters_are_refused(
    voice: Loaded, parameters: dict[str, Any], reason: str
) -> None:
    assert reason in refusal(voice, TEXT, **parameters)


def test_describe_reports_what_the_voice_supports(voice: Loaded) -> None:
    assert voice.describe()["controls"] == ["reference_audio", "speaker_embedding", "volume"]


def test_a_long_sentence_is_said_in_parts(voice: Loaded) -> None:
    long = "the sea and the sky and the land " * 4
    script = voice.handler.decode(long.strip(), {})
    pieces = [utterance.symbols for utterance in script.utterances]
    assert " ".join(pieces) == long.strip()
    assert len(pieces) > 2
    assert max(map(len, pieces)) <= 58  # of 60 positions


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copied"))


def test_reference_audio_is_refused_without_an_x_vector_network(copied: Path) -> None:
    shutil.rmtree(copied / "xvector")
    deaf = load_family(copied, voices=VOICES)
    assert "no x-vector network" in refusal(deaf, TEXT, reference_audio=wav(2))
    assert deaf.describe()["controls"] == ["speaker_embedding", "volume"]


def test_without_speakers_there_is_one_voice_of_zeros(copied: Path) -> None:
    (copied / "speakers.safetensors").unlink()
    spoken = say(load_family(copied, voices={"default": {}}), TEXT, seed=3)
    expected = by_transformers(copied, TEXT, torch.zeros(512), 3)
    check_is(spoken, expected)


def test_parts_that_do_not_fit_together_do_not_load(copied: Path) -> None:
    with pytest.raises(LoadError, match="no speaker nobody"):
        load_family(copied, voices={"nobody": {}})
    shutil.rmtree(copied / "xvector")
    speecht5.write_xvector(copied / "xvector", 256)
    with pytest.raises(LoadError, match="256 numbers; expected 512"):
        load_family(copied, voices=VOICES)
    (copied / "speakers.safetensors").write_bytes(b"spoiled")
    with pytest.raises(LoadError, match=r"speakers\.safetensors"):
        load_family(copied, voices=VOICES)
