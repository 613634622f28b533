"""Every family of models on a GPU, as far as a pretended one can show it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sidecar.catalog.catalog import load_catalog
from tests.handlers.device_families import FAMILIES, NEAR, Family, answers, clips, load, near
from tests.handlers.loaded import Loaded
from tests.handlers.pretended_cuda import DevicesMixed, pretended_cuda
from tests.handlers.speaking import ROOT
from voice_activity_handler import VoiceActivityHandler

pytest_plugins = ["tests.handlers.recognition_fixtures"]

SAME_SAMPLES = {"sampling", "whisper by chance", "whisper by beams"}  # as the one before them
LOWERED = [
    name
    for name, family in FAMILIES.items()
    if "bf16" in family.handler.precisions and name not in SAME_SAMPLES
]


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
    on_cpu = answers(load(family, folder, device="cpu", precision="fp32"), family)
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
            return step(self, states)  # type: ignore[no-any-return]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(network), "logits", counted)
            traffic.waits.clear()
            answers(loaded, FAMILIES[name])
    waits = traffic.waits_in(f"recognition_kit/whisper/{file}")
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
