"""Every family of models on a GPU, as far as a pretended one can show it."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
import torch

import example_model
from handler_kit.batch_handler import BatchHandler
from handler_kit.wav import to_pcm
from image_handler import ImageHandler
from sidecar.catalog.catalog import load_catalog
from sidecar.scheduling.job import ItemHeader, decode_answer, encode_job
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
from tests.handlers.pretended_cuda import DevicesMixed, pretended_cuda
from tests.handlers.recognising import LANGUAGES, RATE, write_small_whisper
from tests.handlers.speaking import ROOT, unpacked
from tests.handlers.test_image_handler import encoded, picture
from tests.handlers.test_image_handler import text as as_base64
from text_embedding_handler import TextEmbeddingHandler
from text_handler import TextHandler
from voice_activity_handler import VoiceActivityHandler

pytest_plugins = ["tests.handlers.recognition_fixtures"]

TEXTS = ["the quick brown fox", "a lazy dog while seven wizards brew strong coffee"]
NEAR = 2e-3  # attention, LSTM cells and convolutions take other steps on the device


class Family(NamedTuple):
    """How a family's checkpoint is made, and what it is asked."""

    build: Callable[[Path], object]
    handler: type[BatchHandler[Any, Any, Any]]
    options: dict[str, Any]
    items: list[bytes]
    header: Mapping[str, Any] = MappingProxyType({})


def written(*texts: Any, **parameters: Any) -> list[bytes]:
    return [msgspec.json.encode({"text": each, "parameters": parameters}) for each in texts]


def clips(*seconds: float) -> list[bytes]:
    """Noise: what a recogniser with random weights hears in it is as good as words."""
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
    """One that knows languages; it takes its first transcript, however unlikely."""
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
    "generation": task("text_generation", text.build_gpt2, *written(*TEXTS, max_new_tokens=4)),
    "sampling": task(
        "text_generation",
        text.build_gpt2,
        *written(*TEXTS, max_new_tokens=4, do_sample=True, seed=3),
    ),
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
    "speecht5": voice(speecht5.build, *SAID[:1], voices={"slt": {}}),
    "bark": voice(bark.build, *SAID[:1], voices={"v2/en_speaker_0": {}}),
    "tacotron2": voice(tacotron2.build, *SAID[:1]),
    "hibari": voice(lambda folder: unpacked("hibari_tts", folder), *SAID, network="hibari"),
    "whisper": whisper(),
    "whisper by chance": whisper(temperature=0.7),
    "whisper by beams": whisper(beam_size=3),
    "wav2vec2": ears(wav2vec2.build, word_timestamps=True),
    "unmasked wav2vec2": ears(lambda folder: wav2vec2.build(folder, masks=False)),
    "moonshine": ears(moonshine.build),
}
SAME_SAMPLES = {"sampling", "whisper by chance", "whisper by beams"}  # as the one before them
LOWERED = [
    name
    for name, family in FAMILIES.items()
    if "bf16" in family.handler.precisions and name not in SAME_SAMPLES
]


def load(family: Family, folder: Path, **config: Any) -> Loaded:
    settings = {"options": family.options, "warmup_iterations": 0, "workers": 2, "compile": "off"}
    return Loaded(family.handler(), FakeContext(folder, settings | config, gpu_id=0))


def answers(loaded: Loaded, family: Family) -> list[Any]:
    """What the family says to its items; none may fail."""
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
    """Whether both say the same, their numbers within NEAR."""
    if isinstance(ours, np.ndarray):
        return ours.shape == theirs.shape and bool(np.abs(ours - theirs).max() < NEAR)
    if isinstance(ours, float):
        return ours == pytest.approx(theirs, abs=NEAR)
    if isinstance(ours, dict):
        return all(near(value, theirs[key]) for key, value in ours.items())
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(near, ours, theirs))
    return bool(ours == theirs)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp("family")
            FAMILIES[name].build(made[name])
        return made[name]

    return folder


def test_tests_see_no_gpu_so_that_their_figures_are_the_cpus() -> None:
    code = "import torch; print(torch.cuda.device_count(), torch.cuda.is_available())"
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert seen.stdout.split() == ["0", "False"]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_answers_on_the_device_as_on_the_cpu(
    name: str, folders: Callable[[str], Path]
) -> None:
    family, folder = FAMILIES[name], folders(name)
    on_cpu = answers(load(family, folder, device="cpu"), family)
    with pretended_cuda() as traffic:
        loaded = load(family, folder, precision="fp32")
        assert loaded.describe()["device"] == "cuda:0"
        on_device = answers(loaded, family)
    assert traffic.uploads
    assert near(on_device, on_cpu)


@pytest.mark.parametrize("name", LOWERED)
def test_a_family_runs_in_half_precision_without_mixing_devices(
    name: str, folders: Callable[[str], Path]
) -> None:
    with pretended_cuda():
        loaded = load(FAMILIES[name], folders(name))
        check = loaded.describe()["precision_check"]
    assert check["cosine"] is not None  # it ran in bf16


@pytest.mark.parametrize(("name", "file"), [("whisper", "greedy"), ("whisper by beams", "beam")])
def test_the_cpu_waits_for_the_device_once_a_token(
    name: str, file: str, folders: Callable[[str], Path]
) -> None:
    steps: list[int] = []
    with pretended_cuda() as traffic:
        loaded = load(FAMILIES[name], folders(name), precision="fp32")
        network = loaded.handler.model
        step = type(network).logits

        def counted(self: Any, states: torch.Tensor) -> torch.Tensor:
            steps.append(len(states))
            return step(self, states)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(network), "logits", counted)
            traffic.waits.clear()
            answers(loaded, FAMILIES[name])
    waits = traffic.waits_in(f"recognition_kit/{file}")
    assert 4 < waits <= len(steps)


def test_images_lie_channels_last_on_a_gpu_alone(folders: Callable[[str], Path]) -> None:
    def strides(loaded: Loaded) -> set[int]:
        weights = [each for each in loaded.handler.model.parameters() if each.dim() == 4]
        return {each.stride(1) for each in weights if each.shape[1] > 1 and each.shape[2] > 1}

    assert 1 not in strides(load(FAMILIES["resnet"], folders("resnet"), device="cpu"))
    with pretended_cuda():
        assert strides(load(FAMILIES["resnet"], folders("resnet"), precision="fp32")) == {1}


def test_a_model_for_the_cpu_leaves_the_gpu_alone(folders: Callable[[str], Path]) -> None:
    """Each process that touches a GPU takes some hundred megabytes of it for its context."""

    def touched(*_: Any, **__: Any) -> None:
        raise AssertionError("the GPU was touched")

    with pretended_cuda(_lazy_init=touched, is_available=touched, set_device=touched):
        for name in ("tensors", "text classification", "vits"):
            answers(load(FAMILIES[name], folders(name), device="cpu"), FAMILIES[name])


def test_the_worker_of_a_gpu_makes_it_the_current_one(
    folders: Callable[[str], Path],
) -> None:
    chosen: list[torch.device] = []
    with pretended_cuda(set_device=chosen.append):
        load(FAMILIES["tensors"], folders("tensors"), precision="fp32")
    assert chosen == [torch.device("cuda", 0)]


def test_models_too_small_for_a_gpu_run_on_the_cpu() -> None:
    catalog = load_catalog(ROOT / "models.json")
    assert {catalog[key].device for key in ("example", "silero_vad")} == {"cpu"}


def test_voice_activity_is_found_on_the_device_as_on_the_cpu(silero_folder: Path) -> None:
    family = Family(
        silero_folder.joinpath, VoiceActivityHandler, {}, clips(0.5, 1.0), {"type": "pcm"}
    )
    on_cpu = answers(load(family, silero_folder, device="cpu"), family)
    with pretended_cuda():
        on_device = answers(load(family, silero_folder, device="cuda"), family)
    for ours, theirs in zip(on_device, on_cpu, strict=True):
        assert ours["probabilities"] == pytest.approx(theirs["probabilities"], abs=NEAR)


def test_the_pretended_device_refuses_company_and_counts_waits() -> None:
    with pretended_cuda() as traffic:
        there = torch.ones(3).to(torch.device("cuda", 0))
        assert str(there.device) == "cuda:0"
        with pytest.raises(DevicesMixed):
            there + torch.ones(3)
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()
        assert not traffic.waits
        assert (there + 1).sum().item() == 6
        assert there[[0, 2]].cpu().tolist() == [1, 1]
        assert sum(traffic.waits.values()) == 2
    assert not torch.cuda.is_available()
