"""Long lists are read and written piece by piece, and are what they would be in one piece."""

import json

import numpy as np
import pytest

from sidecar.errors import InvalidFields
from sidecar.open_inference.elements import PIECE_BYTES, STEP, encode_numbers, from_json

COUNT = PIECE_BYTES  # numbers, in several pieces whatever stands between them


@pytest.mark.parametrize("separators", [(",", ":"), (" , ", ":")])
def test_a_long_list_of_numbers_is_read_whole(separators: tuple[str, str]) -> None:
    numbers = np.arange(COUNT, dtype=np.float32) / 8
    data = json.dumps(numbers.tolist(), separators=separators).encode()
    assert len(data) > 3 * PIECE_BYTES
    assert np.array_equal(from_json(data, "FP32", (1, COUNT), "x"), numbers)


@pytest.mark.parametrize("last", [[1], "1", {"a": [1, 2]}])
def test_nested_lists_are_refused_at_any_position(last: object) -> None:
    data = json.dumps([0] * COUNT + [last]).encode()
    with pytest.raises(InvalidFields, match="request has an invalid field") as caught:
        from_json(data, "INT8", (1, COUNT + 1), "inputs[0].data")
    assert caught.value.field is not None
    assert caught.value.field.startswith("inputs[0].data")


@pytest.mark.parametrize("shape", [(5 * STEP,), (5, STEP), (STEP, 5), (2, 3, STEP), (2, STEP, 3)])
def test_a_large_tensor_is_written_whole(shape: tuple[int, ...]) -> None:
    numbers = np.random.default_rng(1).integers(-99, 99, shape)
    assert json.loads(encode_numbers(numbers)) == numbers.tolist()
