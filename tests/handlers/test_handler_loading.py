"""What a handler picks at load, and what it refuses."""

import os
import re
import shutil
import threading
import time
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import tensor_handler
import text_embedding_handler
from handler_kit import acceleration, loading
from handler_kit.acceleration import choose_acceleration
from handler_kit.config import HandlerConfig, Precision, parse_config
from handler_kit.device import choose_device, find_device, roomiest
from handler_kit.errors import LoadError
from handler_kit.int8 import Int8Linear, Quantized
from handler_kit.own_form import OwnForm, has_own_form
from handler_kit.precision import (
    Compared,
    check_precision,
    cosine_of,
    precisions_to_try,
    processor_precisions,
)
from handler_kit.threads import (
    each_on_one_thread,
    keep_useful_threads,
    limit_threads,
    parse_cpu_max,
    usable_cores,
)
from speech_recognition_handler import SpeechRecognitionHandler
from tests.checkpoints import moonshine
from tests.handlers.loaded import FakeContext, FaultyHandler, Loaded, LoadExample, load_from
from tests.handlers.pretended_cuda import pretended_cuda
from tests.handlers.recognising import RATE, write_small_whisper
from tests.needs import need_compiler
from tests.waiting import LIMIT_SECONDS

WARM_UP_PASSES = (1, 16)  # inputs: alone, and in the largest batch
ALL: set[Precision] = {"fp32", "fp16", "bf16", "int8"}
CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")


class Slipping(FaultyHandler):
    """Goes astray in low precision only."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        outputs = super().forward(batch)
        return outputs if self.dtype == torch.float32 else -outputs


class Overflowing(FaultyHandler):
    """Overflows in low precision only."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        outputs = super().forward(batch)
        return outputs if self.dtype == torch.float32 else outputs / 0


class Unable(FaultyHandler):
    """Does not run in low precision at all."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        if self.dtype != torch.float32:
            raise RuntimeError("not implemented for 'BFloat16'")
        return super().forward(batch)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_lowered_precision_near_fp32_is_kept(load_example: LoadExample, precision: str) -> None:
    low, full = load_example(precision=precision), load_example()
    described = low.describe()
    assert described["precision"] == precision
    assert described["precision_check"]["passed"]
    assert described["precision_check"]["cosine"] > 0.99
    assert low.results([1, 2, 3]) == pytest.approx(full.results([1, 2, 3]), abs=0.01)
    assert low.job(b"1")[0].precision == precision


@pytest.mark.parametrize("kind", [Slipping, Overflowing, Unable])
def test_a_lowered_precision_too_far_from_fp32_falls_back_exactly(
    load_example: LoadExample, kind: type[FaultyHandler]
) -> None:
    slipping, full = load_example(kind, precision="bf16"), load_example()
    described = slipping.describe()
    assert (described["precision"], described["precision_requested"]) == ("fp32", "bf16")
    assert described["precision_check"]["passed"] is False
    assert slipping.results([1, 2, 3]) == full.results([1, 2, 3])


class Reloaded(Slipping):
    """Looks, when it is loaded again, whether the network it had before still holds memory."""

    def load_model(self) -> torch.nn.Module:
        before = getattr(self, "model", None)
        self.left = [] if before is None else [each.device.type for each in before.parameters()]
        return super().load_model()


def test_the_lowered_network_is_freed_before_fp32_is_reloaded(
    load_example: LoadExample,
) -> None:
    handler = load_example(Reloaded, precision="bf16").handler
    assert isinstance(handler, Reloaded)
    assert set(handler.left) == {"meta"}


@pytest.mark.parametrize("kind", [FaultyHandler, Slipping])
def test_memory_freed_by_lowering_is_returned_to_the_driver(
    load_example: LoadExample, kind: type[FaultyHandler]
) -> None:
    given: list[bool] = []
    with pretended_cuda(empty_cache=lambda: given.append(True)):
        load_example(kind, gpu_id=0, precision="bf16", compile="off")
    assert given


def test_without_a_sample_precision_is_not_lowered(load_example: LoadExample) -> None:
    options = {"module": "example_model", "class": "ExampleModel"}
    described = load_example(precision="bf16", options=options).describe()
    assert described["precision"] == "fp32"


@pytest.mark.parametrize(
    ("capabilities", "tried"),
    [
        ({}, ()),
        ({"avx512_vnni": True}, ("int8",)),
        ({"avx512_vnni": True, "avx512_bf16": True}, ("int8", "bf16")),
        ({"amx_bf16": True}, ("bf16",)),
        ({"avx_vnni": True, "avx512_bf16": False}, ()),
        ({"neon": True, "bf16": True}, ("bf16",)),
    ],
)
def test_auto_precision_tries_what_the_processor_is_made_for(
    capabilities: dict[str, bool], tried: tuple[Precision, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert precisions_to_try(HandlerConfig(), CPU, ALL, "vectors") == tried
    assert precisions_to_try(HandlerConfig(precision="fp32"), CPU, ALL, "vectors") == ()
    compiled = precisions_to_try(HandlerConfig(compile="on"), CPU, ALL, "vectors")
    assert compiled == tuple(each for each in tried if each != "int8")
    assert precisions_to_try(HandlerConfig(), CPU, ALL, "numbers") == ()
    if tried:
        named = HandlerConfig(precision=tried[0])
        assert precisions_to_try(named, CPU, ALL, "numbers") == tried[:1]


def test_auto_precision_is_fp16_where_bf16_is_unknown() -> None:
    assert precisions_to_try(HandlerConfig(), torch.device("mps"), ALL, "vectors") == ("fp16",)


def test_an_fp32_only_handler_refuses_other_precisions() -> None:
    assert precisions_to_try(HandlerConfig(), torch.device("mps"), {"fp32"}, "vectors") == ()
    with pytest.raises(LoadError, match="precision: expected one of: fp32; got bf16"):
        precisions_to_try(HandlerConfig(precision="bf16"), CPU, {"fp32"}, "vectors")


@pytest.mark.parametrize("device", [CPU, CUDA])
def test_int8_is_refused_where_there_is_no_instruction_for_it(
    device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    vnni = device != CPU
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_vnni": vnni})
    with pytest.raises(LoadError, match="precision: int8 requires the model to run on a CPU"):
        precisions_to_try(HandlerConfig(precision="int8"), device, ALL, "vectors")


@pytest.fixture
def example_copy(example_folder: Path, tmp_path: Path) -> Path:
    """The example model in a folder of its own, where nothing has been chosen yet."""
    return shutil.copytree(
        example_folder, tmp_path / "model", ignore=shutil.ignore_patterns("choices*")
    )


class Slow(FaultyHandler):
    """Takes longer in fp32 than lowered; *loads* counts how often its model was read."""

    compared_as = "vectors"
    loads = 0

    def load_model(self) -> torch.nn.Module:
        self.loads += 1
        return super().load_model()

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        until = time.process_time() + (0.03 if self.dtype == torch.float32 else 0.01)
        while time.process_time() < until:
            pass
        return super().forward(batch)


class SlowAndSlipping(Slow, Slipping):
    """Is faster where it is lowered, but wrong."""


class SlowWhenLowered(Slow):
    """Has nothing to win."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        for _ in range(1 if self.dtype == torch.float32 else 3):
            outputs = super().forward(batch)
        return outputs


@pytest.fixture
def knows_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processor has instructions for bf16 and for nothing else."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})


@pytest.mark.usefixtures("knows_bf16")
@pytest.mark.parametrize(
    ("kind", "precision"), [(Slow, "bf16"), (SlowAndSlipping, "fp32"), (SlowWhenLowered, "fp32")]
)
def test_auto_precision_on_a_cpu_requires_close_and_faster_results(
    example_copy: Path, kind: type[Slow], precision: str
) -> None:
    described = load_from(example_copy, kind, precision="auto").describe()
    assert described["precision"] == precision
    assert described["precision_check"]["precision"] == "bf16"
    assert described["precision_check"]["passed"] is (kind is not SlowAndSlipping)


@pytest.mark.usefixtures("knows_bf16")
def test_a_wake_reuses_measured_choices(example_copy: Path) -> None:
    first, again = (load_from(example_copy, SlowWhenLowered, precision="auto") for _ in range(2))
    assert [loaded.handler.loads for loaded in (first, again)] == [2, 1]  # type: ignore[attr-defined]
    assert again.describe()["precision_check"] == first.describe()["precision_check"]


@pytest.mark.usefixtures("knows_bf16")
@pytest.mark.parametrize("changed", ["weights", "settings", "processor", "file"])
def test_a_change_repeats_the_measurements(
    example_copy: Path, changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"precision": "auto"}
    load_from(example_copy, SlowWhenLowered, **settings)
    if changed == "weights":
        os.utime(example_copy / "model.safetensors", ns=(1, 1))
    elif changed == "settings":
        settings["max_batch_size"] = 3
    elif changed == "processor":
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    else:
        (example_copy / "choices.json").write_text("[1]")
    assert load_from(example_copy, SlowWhenLowered, **settings).handler.loads == 2  # type: ignore[attr-defined]


@pytest.mark.usefixtures("knows_bf16")
def test_a_folder_that_cannot_be_written_only_costs_the_measuring(example_copy: Path) -> None:
    (example_copy / "choices.json").mkdir()
    assert load_from(example_copy, Slow, precision="auto").describe()["precision"] == "bf16"


need_vnni = pytest.mark.skipif(
    "int8" not in processor_precisions(), reason="the processor has no AVX-512 VNNI"
)


@need_vnni
def test_a_row_in_int8_is_near_and_does_not_notice_its_neighbours() -> None:
    chance = torch.Generator().manual_seed(0)
    linear = torch.nn.Linear(96, 40)
    small, large = (torch.randn(3, 96, generator=chance) * factor for factor in (0.01, 100))
    with torch.inference_mode():
        rounded = Int8Linear(linear)
        alone, beside = rounded(small), rounded(torch.cat([small, large]))[:3]
        assert torch.equal(alone, beside)
        assert float((alone - linear(small)).norm() / linear(small).norm()) < 0.02
        assert torch.equal(rounded(torch.zeros(2, 96)), linear.bias.expand(2, -1))
        assert rounded(torch.randn(2, 5, 96)).shape == (2, 5, 40)


@need_vnni
def test_layers_in_int8_are_put_back_as_they_were() -> None:
    shared = torch.nn.Linear(4, 4)
    layer = torch.nn.TransformerEncoderLayer(4, 1, 4)
    model = torch.nn.Sequential(shared, torch.nn.ReLU(), shared, layer)
    quantized = Quantized(model)
    assert len(quantized) == 2
    assert model[0] is model[2]
    assert model[0] is not shared
    assert model[3].linear1 is layer.linear1
    quantized.undo()
    assert model[0] is model[2] is shared


def test_a_model_with_a_form_of_its_own_is_told_to_take_it() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 4))
    assert not has_own_form(model, "bf16")
    model.in_bf16 = False  # type: ignore[assignment]
    assert has_own_form(model, "bf16")
    assert not has_own_form(model, "int8")
    form = OwnForm(model, "bf16")
    assert model.in_bf16
    form.undo()
    assert not model.in_bf16


@need_vnni
def test_a_model_in_int8_answers_nearly_as_in_fp32(load_example: LoadExample) -> None:
    low, full = load_example(precision="int8"), load_example(precision="fp32")
    assert low.describe()["precision"] == "int8"
    assert low.results([1, 2, 3]) == pytest.approx(full.results([1, 2, 3]), abs=0.02)


ZEROS, ONES = torch.zeros(3), torch.ones(3)


@pytest.mark.parametrize("kind", ["numbers", "vectors", "logits"])
def test_a_check_passes_for_equal_outputs_and_fails_for_others(kind: Compared) -> None:
    assert check_precision("fp16", kind, [ZEROS], [ZEROS]).passed
    assert check_precision("fp16", kind, [ONES, ONES], [ONES, ONES * 1.01]).passed
    for lowered in ([-ONES], [torch.ones(4)], [ONES * torch.nan], []):
        assert not check_precision("fp16", kind, [ONES], lowered).passed
    assert cosine_of(ONES, ONES * 2) == pytest.approx(1)


def test_a_lower_best_score_fails_the_check_though_logits_are_alike() -> None:
    """0.94 became 0.83, and the cosine of all that was compared was still 0.9991."""
    noise = torch.Generator().manual_seed(0)
    first = torch.cat([torch.tensor([17.0]), 5 + 0.3 * torch.randn(999, generator=noise)])
    first[1:] += 17.0 - 2.75 - first[1:].logsumexp(0)
    second = first.clone()
    second[0] -= 1.17
    best = [float(each.softmax(0).max()) for each in (first, second)]
    assert best == pytest.approx([0.94, 0.83], abs=0.01)
    check = check_precision("bf16", "logits", [first], [second])
    assert check.cosine is not None
    assert check.cosine > 0.99
    assert check.score_change == pytest.approx(0.11, abs=0.01)
    assert not check.passed


def test_one_wrong_sample_fails_the_check() -> None:
    good = [torch.full((384,), 100.0)] * 3
    for kind in ("numbers", "vectors", "logits"):
        assert not check_precision("bf16", kind, [*good, ONES], [*good, -ONES]).passed


def test_vectors_must_agree_in_cosine_to_a_thousandth() -> None:
    east, nearly, astray = (torch.tensor([1.0, turn]) for turn in (0.0, 0.04, 0.06))
    assert check_precision("bf16", "vectors", [east], [nearly]).passed
    assert not check_precision("bf16", "vectors", [east], [astray]).passed


def test_a_model_with_one_logit_is_compared_by_the_number() -> None:
    one, near, far = torch.tensor([2.0]), torch.tensor([2.05]), torch.tensor([2.2])
    assert check_precision("bf16", "logits", [one], [near]).passed
    assert not check_precision("bf16", "logits", [one], [far]).passed


@pytest.mark.parametrize(
    ("requested", "gpu_id", "cuda_devices", "has_mps", "device"),
    [
        ("auto", None, 0, False, "cpu"),
        ("auto", None, 2, False, "cpu"),
        ("auto", 1, 2, False, "cuda:1"),
        ("auto", 0, 0, False, "cpu"),
        ("auto", None, 0, True, "cpu"),  # MPS is unproven: only for who asks
        ("cpu", 0, 2, True, "cpu"),
        ("cuda", 1, 2, False, "cuda:1"),
        ("cuda", None, 2, False, "cuda:0"),
        ("cuda:1", 0, 2, False, "cuda:1"),
        ("mps", None, 0, True, "mps"),
    ],
)
def test_a_device_is_chosen(
    requested: str, gpu_id: int | None, cuda_devices: int, has_mps: bool, device: str
) -> None:
    chosen = choose_device(requested, gpu_id, cuda_devices=cuda_devices, has_mps=has_mps)
    assert str(chosen) == device


@pytest.mark.parametrize(
    ("turn", "free", "gpu"),
    [(0, [80], 0), (1, [80, 80], 1), (1, [80, 79], 1), (0, [60, 80, 70], 1), (2, [60, 81, 80], 2)],
)
def test_a_worker_selects_the_gpu_in_turn_unless_another_has_far_more_memory(
    turn: int, free: list[int], gpu: int
) -> None:
    assert roomiest(turn, free) == gpu


@pytest.mark.parametrize(
    ("used", "in_turn", "gpu"), [([50, 10], False, 1), ([50, 10], True, 0), ([10, 50], False, 0)]
)
def test_free_memory_is_what_nvml_says_is_not_used(
    used: list[int], in_turn: bool, gpu: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = SimpleNamespace(total_memory=80)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: size)
    monkeypatch.setattr(torch.cuda, "device_memory_used", used.__getitem__)
    assert find_device("auto", 0, in_turn=in_turn).device == torch.device("cuda", gpu)


def test_without_nvml_workers_take_their_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert find_device("cuda", 1, in_turn=False).device == torch.device("cuda", 1)


TOO_OLD = "CUDA initialization: The NVIDIA driver on your system is too old (found version 11040)"


@pytest.fixture
def old_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver counts a card, but torch warns that it cannot use it."""

    def is_available() -> bool:
        warnings.warn(f"{TOO_OLD}. (Triggered internally at CUDAFunctions.cpp:109.)", stacklevel=2)
        return False

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.usefixtures("old_driver")
def test_an_old_driver_leaves_models_on_the_cpu_with_a_reason(
    load_example: LoadExample, caplog: pytest.LogCaptureFixture
) -> None:
    loaded = load_example(gpu_id=0)
    described = loaded.describe()
    assert (described["device"], described["device_reason"]) == ("cpu", f"{TOO_OLD}.")
    assert TOO_OLD in caplog.text
    assert loaded.results([1])
    with pytest.raises(LoadError, match=re.escape(TOO_OLD)):
        load_example(gpu_id=0, device="cuda")


def test_a_worker_without_a_gpu_gives_no_reason(example: Loaded) -> None:
    assert example.describe()["device_reason"] is None


@pytest.mark.parametrize("requested", ["cuda", "cuda:3", "mps"])
def test_a_missing_device_is_a_load_error(
    load_example: LoadExample, requested: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(LoadError, match=rf"^device: .*{requested}"):
        load_example(device=requested)


@pytest.mark.parametrize(
    ("config", "device", "has_tensorrt", "picked"),
    [
        ({}, CPU, False, "none"),
        ({}, CUDA, False, "compile"),
        ({"compile": "off"}, CUDA, False, "none"),
        ({"compile": "on"}, CPU, False, "compile"),
        ({}, CUDA, True, "compile"),
        ({"tensorrt": "auto"}, CUDA, True, "tensorrt"),
        ({"tensorrt": "auto"}, CUDA, False, "compile"),
        ({"tensorrt": "auto"}, CPU, True, "none"),
        ({"tensorrt": "on"}, CUDA, True, "tensorrt"),
    ],
)
def test_an_acceleration_is_chosen(
    config: dict[str, Any], device: torch.device, has_tensorrt: bool, picked: str
) -> None:
    chosen = choose_acceleration(HandlerConfig(**config), device, has_tensorrt=has_tensorrt)
    assert chosen == picked


def test_tensorrt_asked_for_and_missing_is_a_load_error(load_example: LoadExample) -> None:
    with pytest.raises(LoadError, match="torch_tensorrt"):
        load_example(tensorrt="on")


# torch scripts modules of its own when its compiler starts.
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is:DeprecationWarning")
def test_a_compiled_model_answers_as_the_plain_one(load_example: LoadExample) -> None:
    need_compiler()
    compiled, plain = load_example(compile="on"), load_example(compile="off")
    inputs = [[number, 2, 3] for number in range(7)]
    assert compiled.describe()["compile"] is True
    assert compiled.results(*inputs) == pytest.approx(plain.results(*inputs), abs=1e-6)


def broken(_: str) -> Any:
    def fail(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("no compiler here")

    return fail


def test_a_failed_compile_is_an_error_when_on_and_skipped_when_auto(
    load_example: LoadExample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceleration, "graph_compiler", broken)
    with pytest.raises(LoadError, match=r"(?s)compile: is on, but fails: .*no compiler here"):
        load_example(compile="on")
    monkeypatch.setattr(loading, "choose_acceleration", lambda *_, **__: "compile")
    automatic = load_example(compile="auto")
    assert automatic.describe()["compile"] is False
    assert automatic.results([1])


def eager(_: str) -> Any:
    """A compiler that leaves graphs as they are: it takes no time, and needs no C compiler."""
    return lambda graph, _: graph.forward


def test_a_compile_that_takes_too_long_gives_way(
    load_example: LoadExample, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = threading.Event()

    def slow(_: str) -> Any:
        def wait(graph: Any, inputs: Any) -> Any:
            never.wait(LIMIT_SECONDS)
            raise RuntimeError("given up")

        return wait

    monkeypatch.setattr(acceleration, "graph_compiler", slow)
    try:
        with pytest.raises(LoadError, match="compile: is on, but fails: it took longer than"):
            load_example(compile="on", startup_timeout_seconds=0.5)
        monkeypatch.setattr(loading, "choose_acceleration", lambda *_, **__: "compile")
        automatic = load_example(startup_timeout_seconds=0.5)
        assert automatic.describe()["compile"] is False
        assert automatic.results([1])
    finally:
        never.set()


def test_a_model_that_was_not_compiled_is_not_reported_as_compiled(
    load_example: LoadExample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a sample nothing is compiled at load, and nothing for a client either."""
    monkeypatch.setattr(acceleration, "graph_compiler", broken)
    options = {"module": "example_model", "class": "ExampleModel"}
    loaded = load_example(compile="on", options=options)
    assert loaded.describe()["compile"] is False
    assert loaded.results([0.1] * 10)


def test_a_shape_that_was_not_compiled_runs_on_the_plain_model(
    load_example: LoadExample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceleration, "graph_compiler", eager)
    loaded = load_example(compile="on")
    accelerated = loaded.handler.model
    assert loaded.describe()["compile"] is True
    compiled = accelerated.graphs
    with torch.inference_mode():
        assert accelerated(torch.ones(2, 3, 10)).shape == (2, 3, 1)  # of another rank
    assert accelerated.graphs == compiled


def test_an_input_that_fails_compiled_is_run_by_the_plain_model(
    load_example: LoadExample, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def breaking(_: str) -> Any:
        def compile_graph(graph: Any, inputs: Any) -> Any:
            def run(*args: Any) -> Any:
                calls.append(1)
                if len(calls) > len(WARM_UP_PASSES):
                    raise RuntimeError("a kernel that cannot be launched")
                return graph.forward(*args)

            return run

        return compile_graph

    monkeypatch.setattr(acceleration, "graph_compiler", breaking)
    loaded = load_example(compile="on")
    answers = loaded.results([1], [2])
    assert answers == load_example(compile="off").results([1], [2])
    assert loaded.results([3])
    assert len(calls) == len(WARM_UP_PASSES) + 1  # it was tried once more, and never again


def test_a_model_that_bypasses_the_compiler_is_not_reported_as_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceleration, "graph_compiler", eager)
    moonshine.build(tmp_path)
    config = {"compile": "on", "warmup_iterations": 1, "workers": 2, "max_batch_size": 1}
    loaded = Loaded(SpeechRecognitionHandler(), FakeContext(tmp_path, config))
    assert loaded.describe()["compile"] is False


def test_a_recogniser_is_compiled_for_whole_windows(
    tmp_path: Path,
) -> None:
    write_small_whisper(tmp_path)
    config = {"warmup_iterations": 0, "workers": 2, "max_batch_size": 1}
    handler = Loaded(SpeechRecognitionHandler(), FakeContext(tmp_path, config)).handler
    ((clip,),) = handler.shapes()
    assert clip.decoding.context_samples == 30 * RATE
    assert handler.compared(handler.forward([clip]))[0].shape[-1] > 1


def test_compiling_gets_a_part_of_the_startup_timeout() -> None:
    config = parse_config({"startupTimeout": 300, "handler": {}})
    assert config.startup_timeout_seconds == 300
    assert parse_config(None).startup_timeout_seconds == 120


class Watched(FaultyHandler):
    """Keeps the sizes of the passes while it is loaded."""

    def initialize(self, context: Any) -> None:
        super().initialize(context)
        self.passes = self.warmed

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        self.warmed = [*getattr(self, "warmed", []), len(batch)]
        return super().forward(batch)


def passes_while_loading(folder: Path, **config: Any) -> list[int]:
    watched = load_from(folder, Watched, max_batch_size=5, warmup_iterations=2, **config).handler
    assert isinstance(watched, Watched)
    return watched.passes


def test_warm_up_runs_one_input_and_the_largest_batch(example_copy: Path) -> None:
    passes = passes_while_loading(example_copy)
    assert passes[-4:] == [1, 1, 5, 5]
    assert set(passes[:-4]) <= {5}  # the threads' timing


def test_a_wake_runs_one_input_once(example_copy: Path) -> None:
    passes_while_loading(example_copy)
    assert passes_while_loading(example_copy) == [1]


class TooSmall(FaultyHandler):
    """On a device that has no room for more than two inputs."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().forward(batch)


def test_a_batch_too_large_for_the_device_does_not_prevent_a_load(
    load_example: LoadExample, caplog: pytest.LogCaptureFixture
) -> None:
    with pretended_cuda():
        loaded = load_example(TooSmall, gpu_id=0, precision="fp32", compile="off")
        assert len(loaded.results(1, 2, 3, 4)) == 4
    assert "a batch of 16 is too large for cuda:0" in caplog.text


def test_an_archive_made_by_hand_needs_no_config() -> None:
    assert parse_config(None) == parse_config({}) == parse_config({"handler": None})
    assert parse_config({"handler": {"compile": True, "tensorrt": False}}) == HandlerConfig(
        compile="on"
    )


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"devise": "cpu"}, "devise"),
        ({"workers": 0}, r"\$.workers"),
        ({"device": "tpu"}, r"\$.device"),
        ({"precision": "int4"}, r"\$.precision"),
        ({"compile": 1}, r"\$.compile"),
        ("my_handler.py", "handler"),
    ],
)
def test_a_wrong_config_is_a_load_error_naming_the_field(section: Any, message: str) -> None:
    with pytest.raises(LoadError, match=message):
        parse_config({"handler": section})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs module and class"),
        ({"format": "export"}, "needs program"),
        ({"format": "export", "program": "../model.pt2"}, "program"),
        ({"module": "os.path", "class": "A"}, "module"),
        ({"module": "a", "class": "A", "input": {"shape": []}}, "input_rank"),
        ({"module": "a", "class": "A", "input": {"shape": [2, 2]}}, "input_rank: must be 2 for"),
        ({"module": "a", "class": "A", "input": {"fit": "pad_or_cut"}}, "one dimension"),
        (
            {
                "module": "a",
                "class": "A",
                "input": {"shape": [1], "dtype": "int64", "text": "hash"},
            },
            "float32",
        ),
        ({"module": "a", "class": "A", "weight": "x"}, "weight"),
    ],
)
def test_wrong_options_are_a_load_error(
    load_example: LoadExample, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(LoadError, match=message):
        load_example(options=options)


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("max 100000", None),
        ("150000 100000", 1),
        ("400000 100000\n", 4),
        ("50000 100000", 1),
        ("", None),
        ("1 0", None),
        ("nonsense", None),
    ],
)
def test_a_cpu_quota_is_read(text: str, cores: int | None) -> None:
    assert parse_cpu_max(text) == cores


def test_the_smallest_quota_around_a_process_counts(tmp_path: Path) -> None:
    inner = tmp_path / "cgroups" / "pod" / "container"
    inner.mkdir(parents=True)
    own = tmp_path / "own"
    own.write_text("1:name=systemd:/other\n0::/pod/container\n")
    (inner / "cpu.max").write_text("max 100000")
    (inner.parent / "cpu.max").write_text("100000 100000")
    assert usable_cores(tmp_path / "cgroups", own) == 1
    assert usable_cores(tmp_path / "none", tmp_path / "none") >= 1


def test_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handler_kit.threads.usable_cores", lambda: 8)
    before = torch.get_num_threads()
    try:
        assert [limit_threads(workers) for workers in (1, 3, 16)] == [8, 2, 1]
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("seconds", "kept"), [(0.0001, 1), (0.02, 2)])
def test_small_work_uses_one_thread(seconds: float, kept: int) -> None:
    before = torch.get_num_threads()

    def run() -> None:
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            pass

    try:
        assert keep_useful_threads(run, 2) == kept
        assert torch.get_num_threads() == kept
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2])
def test_work_side_by_side_keeps_its_order_on_one_thread_each(threads: int) -> None:
    met = threading.Barrier(threads)  # broken, if they do not run at once

    def work(number: int) -> tuple[int, int, bool]:
        met.wait(LIMIT_SECONDS)
        return number, torch.get_num_threads(), torch.is_inference_mode_enabled()

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            assert each_on_one_thread(work, range(4)) == [(n, 1, True) for n in range(4)]
        assert torch.get_num_threads() == threads
        with pytest.raises(ZeroDivisionError):
            each_on_one_thread(lambda number: 1 // number, [1, 0])
    finally:
        torch.set_num_threads(before)


def test_work_side_by_side_keeps_its_threads() -> None:
    """New threads for each job would take new memory from the allocator for each."""
    met = threading.Barrier(2)

    def work(_: int) -> threading.Thread:
        met.wait(LIMIT_SECONDS)
        return threading.current_thread()

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        first, second = (set(each_on_one_thread(work, range(2))) for _ in range(2))
    finally:
        torch.set_num_threads(before)
    assert first == second


def test_a_handler_file_holds_exactly_one_class() -> None:
    for module in (tensor_handler, text_embedding_handler):
        own = [v for v in vars(module).values() if getattr(v, "__module__", "") == module.__name__]
        assert len([value for value in own if isinstance(value, type)]) == 1


def test_a_model_folder_that_is_empty_is_a_load_error(tmp_path: Path) -> None:
    options = {"module": "example_model", "class": "ExampleModel"}
    with pytest.raises(LoadError, match="example_model"):
        tensor_handler.TensorHandler().initialize(FakeContext(tmp_path, {"options": options}))
