"""Every family of models, small: how it is made, asked, and compared from device to device."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest

import example_model
from handler_kit.batch_handler import BatchHandler
from handler_kit.wav import to_pcm
from image_handler import ImageHandler
from sidecar.scheduling.job_format import ItemHeader, decode_answer, encode_job
from speech_recognition_handler import SpeechRecognitionHandler
from speech_synthesis_handler import SpeechSynthesisHandler
from tensor_handler import TensorHandler
from tests.checkpoints import (
    bark,
    images,
    moonshine,
    speecht5,
    tacotron2,
    text,
    vits,
    wav2vec2,
)
from tests.handlers.loaded import EXAMPLE_OPTIONS, FakeContext, Loaded
from tests.handlers.recognising import LANGUAGES, RATE, write_small_whisper
from tests.handlers.speaking import unpacked
from tests.handlers.test_image_handler import encoded, picture
from tests.handlers.test_image_handler import text as as_base64
from text_embedding_handler import TextEmbeddingHandler
from text_handler import TextHandler

TEXTS = ["the quick brown fox", "a lazy dog while seven wizards brew strong coffee"]
NEAR = 2e-3  # attention, LSTM cells and convolutions take other steps on the device
# Of a sound's own loudness: a vocoder that adds up phases adds up what rounding changes in them.
# Hibari's sentences differ by 0.024 between a CPU and an H200, 0.2 dB in their spectrum.
NEAR_SOUND = 0.05


class Family(NamedTuple):
    """How a family's checkpoint is made, and what it is asked.

    *drawn*: what it says is drawn by chance, which each kind of device does in its own way.
    """

    build: Callable[[Path], object]
    handler: type[BatchHandler[Any, Any, Any]]
    options: dict[str, Any]
    items: list[bytes]
    header: Mapping[str, Any] = MappingProxyType({})
    drawn: bool = False


def written(*texts: Any, **parameters: Any) -> list[bytes]:
    return [msgspec.json.encode({"text": each, "parameters": parameters}) for each in texts]


def clips(*seconds: float) -> list[bytes]:
    """Return noise: a recogniser with random weights hears in it as much as in words."""
    noise = np.random.default_rng(0)
    return [
        to_pcm((0.1 * noise.standard_normal(int(RATE * each))).astype(np.float32))
        for each in seconds
    ]


def task(name: str, build: Callable[[Path], None], *items: bytes) -> Family:
    return Family(build, TextHandler, {"task": name}, list(items))


def voice(build: Callable[..., object], *items: bytes, **options: Any) -> Family:
    options = {"voices": {"default": {}}} | options
    return Family(build, SpeechSynthesisHandler, options, list(items))


def ears(build: Callable[[Path], object], **parameters: Any) -> Family:
    header = {"type": "pcm", "parameters": parameters}
    return Family(build, SpeechRecognitionHandler, {}, clips(0.5, 1.0), header)


def whisper(**parameters: Any) -> Family:
    """Return one that knows languages; it takes its first transcript, however improbable."""
    return ears(
        lambda folder: write_small_whisper(folder, languages=LANGUAGES),
        **{"logprob_threshold": None} | parameters,
    )


def build_example(folder: Path) -> None:
    source = Path(example_model.__file__)
    (folder / source.name).write_bytes(source.read_bytes())
    example_model.write_weights(folder / "model.safetensors")


SAID = written("the sea", "good morning, you")
SEEN = [msgspec.json.encode(as_base64(encoded(picture(seed=seed)))) for seed in range(2)]
FAMILIES: dict[str, Family] = {
    "text classification": task("text_classification", text.build_classifier, *written(*TEXTS)),
    "token classification": task("token_classification", text.build_tagger, *written(*TEXTS)),
    "fill mask": task("fill_mask", text.build_masked, *written("the quick [MASK] fox")),
    "zero shot": task(
        "zero_shot_classification",
        text.build_entailment,
        *written(*TEXTS, candidate_labels=["coffee", "dog"]),
    ),
    "ranking": task("text_ranking", text.build_ranker, *written(*TEXTS, document="a lazy dog")),
    "generation": task("text_generation", text.build_gpt2, *written(*TEXTS, max_new_tokens=4)),
    "sampling": task(
        "text_generation",
        text.build_gpt2,
        *written(*TEXTS, max_new_tokens=4, do_sample=True, seed=3),
    )._replace(drawn=True),
    "summarization": task("summarization", text.build_bart, *written(*TEXTS, max_new_tokens=8)),
    "rewriting": task("text2text_generation", text.build_t5, *written(*TEXTS, max_new_tokens=4)),
    "embedding": Family(
        text.build_masked, TextEmbeddingHandler, {}, [msgspec.json.encode(each) for each in TEXTS]
    ),
    "packed embedding": Family(
        text.build_masked,
        TextEmbeddingHandler,
        {"batching": "packed"},
        [msgspec.json.encode(each) for each in TEXTS],
    ),
    "tensors": Family(build_example, TensorHandler, EXAMPLE_OPTIONS, [b"[1, 2, 3]", b"[4]"]),
    "resnet": Family(images.build_resnet, ImageHandler, {}, SEEN),
    "mobilenet": Family(images.build_mobilenet, ImageHandler, {}, SEEN),
    "vit": Family(images.build_vit, ImageHandler, {}, SEEN),
    "vits": voice(vits.build, *SAID),
    "speecht5": voice(speecht5.build, *SAID[:1], voices={"slt": {}})._replace(drawn=True),
    "bark": voice(bark.build, *SAID[:1], voices={"v2/en_speaker_0": {}})._replace(drawn=True),
    "tacotron2": voice(tacotron2.build, *SAID[:1]),
    "hibari": voice(lambda folder: unpacked("hibari_tts", folder), *SAID, network="hibari"),
    "whisper": whisper(),
    "whisper by chance": whisper(temperature=0.7)._replace(drawn=True),
    "whisper by beams": whisper(beam_size=3),
    "wav2vec2": ears(wav2vec2.build, word_timestamps=True),
    "unmasked wav2vec2": ears(lambda folder: wav2vec2.build(folder, masks=False)),
    "moonshine": ears(moonshine.build),
}


def load(family: Family, folder: Path, **config: Any) -> Loaded:
    settings = {"options": family.options, "warmup_iterations": 0, "workers": 2, "compile": "off"}
    return Loaded(family.handler(), FakeContext(folder, settings | config, gpu_id=0))


def answers(loaded: Loaded, family: Family) -> list[Any]:
    """Return the family's answers to its items in one job; none may fail."""
    items = [
        ItemHeader(id=str(place), length=len(item), **family.header)
        for place, item in enumerate(family.items)
    ]
    (answer,) = loaded.rows({"body": bytearray(encode_job(items, family.items))})
    header, bodies = decode_answer(answer, len(items))
    assert [item.error for item in header.items] == [None] * len(items)
    return [
        np.frombuffer(bytes(body), np.int16) / 32768
        if item.type == "pcm"
        else msgspec.json.decode(body)
        for item, body in zip(header.items, bodies, strict=True)
    ]


def near(ours: Any, theirs: Any) -> bool:
    """Return whether both say the same, their numbers within NEAR."""
    if isinstance(ours, np.ndarray):
        if ours.shape != theirs.shape:
            return False
        apart = ours - theirs
        inaudible = np.linalg.norm(apart) < NEAR_SOUND * np.linalg.norm(theirs)
        return bool(inaudible or np.abs(apart).max() < NEAR)
    if isinstance(ours, float):
        return ours == pytest.approx(theirs, abs=NEAR)
    if isinstance(ours, dict):
        return all(near(value, theirs[key]) for key, value in ours.items())
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(near, ours, theirs))
    return bool(ours == theirs)
