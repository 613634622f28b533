"""Numbers in, numbers out, whatever form the model has."""

import math
import struct
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import example_model
from handler_kit.errors import InvalidInput, LoadError
from handler_kit.json_numbers import encode_rows
from handler_kit.options import InputOptions, TensorOptions
from handler_kit.tensor_input import TensorInput, hash_text
from handler_kit.tensor_model import first_tensor, load_tensor_model
from tensor_handler import TensorHandler
from tests.handlers.loaded import FakeContext, Loaded


class Doubling(torch.nn.Module):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs * 2


def load(folder: Path, **options: Any) -> Loaded:
    rank = len(options.get("input", {}).get("shape") or [0])
    config = {"options": options, "input_rank": rank, "warmup_iterations": 1}
    return Loaded(TensorHandler(), FakeContext(folder, config))


@pytest.mark.parametrize("value", [[1, 2, 3, 4, 5], [1, 2, 3], "Hello world", 1.5, list(range(20))])
def test_the_example_answers_each_input_of_the_contract(example: Loaded, value: Any) -> None:
    (result,) = example.results(value)
    assert 0 < result < 1


def test_the_example_does_not_answer_all_inputs_alike(example: Loaded) -> None:
    results = example.results([1, 2, 3], [4, 5, 6], "Hello world", "Hello World", 7)
    assert len(set(results)) == 5


def test_an_input_alone_and_in_a_batch_has_one_answer(example: Loaded) -> None:
    inputs = [[number, 1, 2] for number in range(9)]
    alone = [example.results(value)[0] for value in inputs]
    assert example.results(*inputs) == pytest.approx(alone, abs=1e-6)


def test_weights_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        example_model.write_weights(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_padding_fills_with_zeros_and_cutting_drops_the_rest() -> None:
    decode = TensorInput(InputOptions(shape=(3,), fit="pad_or_cut"), rank=1).decode
    assert decode([1]).tolist() == [1, 0, 0]
    assert decode(4).tolist() == [4, 0, 0]
    assert decode([1, 2, 3, 4]).tolist() == [1, 2, 3]


@pytest.mark.parametrize("value", [[1, 2], [1, 2, 3, 4], 1, [[1, 2, 3]], "a", None, {}, [True] * 3])
def test_an_exact_input_of_another_shape_or_kind_is_refused(value: Any) -> None:
    decode = TensorInput(InputOptions(shape=(3,)), rank=1).decode
    assert decode([1, 2, 3]).dtype == np.float32
    with pytest.raises(InvalidInput):
        decode(value)


@pytest.mark.parametrize("value", [1.5, [1.0], True, 2**63, "1"])
def test_integers_are_integers(value: Any) -> None:
    decode = TensorInput(InputOptions(dtype="int64"), rank=1).decode
    assert decode([1, -(2**63)]).dtype == np.int64
    with pytest.raises(InvalidInput):
        decode(value)


@pytest.mark.parametrize("value", [[[1], [1, 2]], [1], 1, [], [[]], [[math.nan]], [[1e39]]])
def test_nested_lists_are_full_finite_and_of_the_rank(value: Any) -> None:
    decode = TensorInput(InputOptions(), rank=2).decode
    assert decode([[1, 2], [3, 4]]).shape == (2, 2)
    with pytest.raises(InvalidInput):
        decode(value)


@given(st.text(), st.integers(1, 40))
def test_hashed_text_is_the_same_numbers_below_one_each_time(text: str, count: int) -> None:
    numbers = hash_text(text, count)
    assert numbers == hash_text(text, 50)[:count]
    assert all(-1 <= number < 1 for number in numbers)


def test_hashed_text_is_the_same_on_every_machine() -> None:
    assert hash_text("Hello world", 2) == [-0.7595353126525879, 0.49976134300231934]


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2))
def test_an_encoded_float32_reads_back_as_itself_in_few_digits(numbers: list[float]) -> None:
    (body,) = encode_rows(torch.tensor([numbers]))
    assert isinstance(body, bytes)
    read = msgspec.json.decode(body, type=list[float])
    assert struct.pack(f"{len(read)}f", *read) == struct.pack(f"{len(numbers)}f", *numbers)
    for number in body.decode().strip("[]").split(","):
        decimal = Decimal(number).normalize()
        assert len(decimal.as_tuple().digits) <= 9 or not 1e-13 < abs(decimal) < 1e22


@pytest.mark.parametrize(
    ("outputs", "bodies"),
    [
        (torch.tensor([0.75, 0.5]), [b"0.75", b"0.5"]),
        (torch.tensor([[1], [2]]), [b"1", b"2"]),
        (torch.tensor([[[[2.0]]]]), [b"2.0"]),
        (torch.tensor([[[0.1, 2.0], [3.0, 4.0]]]), [b"[[0.100000001,2.0],[3.0,4.0]]"]),
        (torch.tensor([[True, False]]), [b"[true,false]"]),
        (torch.empty(2, 0), [b"[]", b"[]"]),
    ],
)
def test_one_element_is_a_bare_number_and_more_are_nested_lists(
    outputs: torch.Tensor, bodies: list[bytes]
) -> None:
    assert encode_rows(outputs) == bodies


# TorchScript is old, and still what many have.
@pytest.mark.filterwarnings("ignore:`torch.jit.:DeprecationWarning")
def test_inputs_of_one_shape_share_a_pass_and_others_do_not(tmp_path: Path) -> None:
    torch.jit.script(Doubling()).save(tmp_path / "model.pt")  # type: ignore[no-untyped-call]
    loaded = load(tmp_path, format="torchscript", program="model.pt")
    header, bodies = loaded.job(b"[1,2]", b"[1,2,3]", b"[3,4]")
    assert [item.forward_pass for item in header.items] == [2, 1, 2]
    assert bodies == [b"[2.0,4.0]", b"[2.0,4.0,6.0]", b"[6.0,8.0]"]


class Counting(torch.nn.Module):
    """Makes a tensor of its own on the device of its input."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs + torch.arange(inputs.shape[1], device=inputs.device)


ELSEWHERE = torch.device("meta")  # a device that every torch has, and that refuses CPU tensors


def counting(file_format: str, program: str) -> TensorOptions:
    return TensorOptions(format=file_format, program=program, input=InputOptions(shape=(3,)))  # type: ignore[arg-type]


def test_an_exported_program_makes_its_tensors_on_the_models_device(tmp_path: Path) -> None:
    shapes = {"inputs": {0: torch.export.Dim("batch")}}
    program = torch.export.export(Counting(), (torch.ones(2, 3),), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "model.pt2")
    options = counting("export", "model.pt2")
    elsewhere = load_tensor_model(tmp_path, options, ELSEWHERE)
    assert elsewhere(torch.ones(4, 3, device=ELSEWHERE)).device == ELSEWHERE
    at_home = load_tensor_model(tmp_path, options, torch.device("cpu"))
    assert at_home(torch.ones(1, 3)).tolist() == [[1, 2, 3]]


@pytest.mark.filterwarnings("ignore:`torch.jit.:DeprecationWarning")
def test_a_traced_program_is_refused_on_another_device(
    tmp_path: Path,
) -> None:
    traced = torch.jit.trace(Counting(), torch.ones(2, 3))  # type: ignore[no-untyped-call]
    traced.save(tmp_path / "model.pt")
    options = counting("torchscript", "model.pt")
    with pytest.raises(LoadError, match="creates tensors on cpu, where it was traced"):
        load_tensor_model(tmp_path, options, ELSEWHERE)
    assert load_tensor_model(tmp_path, options, torch.device("cpu"))(torch.ones(1, 3)).numel() == 3


@pytest.mark.filterwarnings("ignore:`torch.jit.:DeprecationWarning")
def test_a_scripted_program_goes_wherever_its_inputs_are(tmp_path: Path) -> None:
    torch.jit.script(Counting()).save(tmp_path / "model.pt")  # type: ignore[no-untyped-call]
    load_tensor_model(tmp_path, counting("torchscript", "model.pt"), ELSEWHERE)


def test_an_exported_program_with_a_dynamic_batch_runs(tmp_path: Path) -> None:
    batch = torch.export.Dim("batch")
    shapes = {"inputs": {0: batch}}
    program = torch.export.export(Doubling(), (torch.ones(2, 2, 2),), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "model.pt2")
    loaded = load(tmp_path, format="export", program="model.pt2", input={"shape": [2, 2]})
    ones = [[1, 1], [1, 1]]
    assert loaded.results(ones) == [[[2, 2], [2, 2]]]
    assert len(loaded.results(ones, ones, ones)) == 3
    assert loaded.describe()["output"] == {"shape": [2, 2], "dtype": "float32"}


def test_an_exported_program_with_a_fixed_batch_is_a_load_error(tmp_path: Path) -> None:
    torch.export.save(torch.export.export(Doubling(), (torch.ones(3, 4),)), tmp_path / "model.pt2")
    with pytest.raises(LoadError, match=r"batches of exactly 3.*dynamic batch dimension"):
        load(tmp_path, format="export", program="model.pt2", input={"shape": [4]})


def test_weights_that_do_not_fit_are_a_load_error(tmp_path: Path, example_folder: Path) -> None:
    (tmp_path / "wider.py").write_text("from torch.nn import Linear as Wider\n")
    weights = (example_folder / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights)
    arguments = {"in_features": 10, "out_features": 1}
    options = {"module": "wider", "class": "Wider", "arguments": arguments}
    with pytest.raises(LoadError, match="eager model"):
        load(tmp_path, **options)
    with pytest.raises(LoadError, match=r"no torch\.nn\.Module named Narrower"):
        load(tmp_path, **options | {"class": "Narrower"})


def test_the_output_is_the_first_tensor_of_a_tuple_or_a_load_error() -> None:
    ones = torch.ones(2, 3)
    assert first_tensor((ones, None), 2) is ones
    for outputs in ({"a": ones}, (), torch.ones(()), torch.ones(3, 2)):
        with pytest.raises(LoadError):
            first_tensor(outputs, 2)
