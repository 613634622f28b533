"""One input or a batch, as contract.md decides it."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import InvalidFields
from sidecar.routes.inputs import split_inputs


def split(text: str, rank: int = 1, limit: int = 100) -> tuple[list[Any], bool]:
    bodies, is_batch = split_inputs(text.encode(), rank=rank, limit=limit)
    return [msgspec.json.decode(body) for body in bodies], is_batch


@pytest.mark.parametrize("text", ["7", "-1.5", "true", '"a"', '{"a": [1]}', "[1, 2, 3]", " [ 1 ]"])
def test_one_input_is_passed_on_unchanged(text: str) -> None:
    assert split(text) == ([msgspec.json.decode(text)], False)


@pytest.mark.parametrize(
    "text",
    ["[[1, 2], [3]]", "[[1]]", '["a"]', '["a", "b"]', '[{"a": 1}, {}]', "[[]]", '[["a"], []]'],
)
def test_a_batch_is_split_into_its_inputs(text: str) -> None:
    assert split(text) == (msgspec.json.decode(text), True)


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "[]",
        "[ ]",
        "[null]",
        "[1, null]",
        "[1, true]",
        '[1, "a"]',
        '["a", 1]',
        "[[1], 2]",
        '[[1], "a"]',
        '[{}, "a"]',
        "[1, [2]]",
        "[true, false]",
        '["a", null]',
    ],
)
def test_other_inputs_are_refused_by_field_name(text: str) -> None:
    with pytest.raises(InvalidFields) as refusal:
        split(text)
    assert refusal.value.detail.startswith("inputs: ")


@pytest.mark.parametrize(
    ("text", "is_batch"),
    [("[[1, 2], [3, 4]]", False), ("[[[1, 2]], [[3, 4]]]", True), ("[1]", False)],
)
def test_models_of_a_higher_rank_take_nested_lists_as_one_input(text: str, is_batch: bool) -> None:
    assert split(text, rank=2)[1] is is_batch


def test_a_batch_is_bounded() -> None:
    with pytest.raises(InvalidFields, match="invalid field"):
        split("[[1], [2], [3]]", limit=2)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_one_input_a_batch_or_refused(value: Any) -> None:
    try:
        inputs, is_batch = split(msgspec.json.encode(value).decode())
    except InvalidFields:
        return
    assert inputs == (value if is_batch else [value])
