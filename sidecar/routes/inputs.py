"""The field `inputs`: one input or a batch, told apart on the bytes, without decoding numbers.

An input is a number, boolean, string, object, or a flat list of numbers.  A list of lists,
strings or objects is a batch.  Models of a higher input rank take lists nested that deep
as one input.  All of this is linear in the bytes, and nothing is built before it is
counted.
"""

import functools
import re
from collections.abc import Sequence

import msgspec

from sidecar.errors import InvalidFields
from sidecar.scheduling.entry import Body
from sidecar.settings import MB

_split = msgspec.json.Decoder(list[msgspec.Raw])
_NOTHING = msgspec.Raw()
_OPENING = re.compile(rb"[\[ \t\n\r]*")
_KINDS = {ord('"'): "strings", ord("{"): "objects", ord("["): "lists"}
_NUMBER = b"-0123456789"  # what one begins with
_OTHERS = b'["{tfn'  # what a value of another kind begins with
STEP_BYTES = MB  # copied at a time


def split_inputs(
    raw: bytes, *, rank: int, limit: int, field: str = "inputs"
) -> tuple[list[Body], bool]:
    """Return the inputs in *raw*, each as its own JSON, and whether they came as a batch.

    *raw* is valid JSON that came in *field*.  Raises InvalidFields for null, an empty list, mixed
    kinds, or more than *limit* inputs.
    """
    depth, place = _opening(raw)
    first = raw[place : place + 1]
    if depth == 0:
        if first == b"n":
            raise InvalidFields("must not be null", field=field)
        return [raw], False
    if first == b"]" and depth == 1:
        raise InvalidFields("must not be empty", field=field)
    if depth == 1 and first not in (b'"', b"{"):
        if first not in _NUMBER or not _only_numbers(raw, place):
            raise InvalidFields(
                "a list must hold numbers, or lists, strings or objects alone", field=field
            )
        return [raw], False
    if depth <= rank and first not in (b'"', b"{"):
        return [raw], False
    return _batch(raw, limit, field), True


def _opening(raw: bytes) -> tuple[int, int]:
    """Return how many brackets open before anything else, and where that begins."""
    found = _OPENING.match(raw)
    assert found is not None
    return raw.count(b"[", 0, found.end()), found.end()


def _only_numbers(raw: bytes, start: int) -> bool:
    """Return whether no value of another kind begins after *start*.

    Deleting what such a value begins with is the quickest way through megabytes of numbers.
    """
    for place in range(start, len(raw), STEP_BYTES):
        step = raw[place : place + STEP_BYTES]
        if len(step.translate(None, _OTHERS)) < len(step):
            return False
    return True


def _batch(raw: bytes, limit: int, field: str) -> list[Body]:
    items: list[Body] = [memoryview(item) for item in _items(raw, limit, field)]
    kinds = {_KINDS.get(item[0], "other values") for item in items}
    if len(kinds) > 1 or "other values" in kinds:
        raise InvalidFields(
            f"a batch must be of one kind, not {' and '.join(sorted(kinds))}", field=field
        )
    return items


def _items(raw: bytes, limit: int, field: str) -> Sequence[msgspec.Raw]:
    if raw.count(b",") < limit:
        return _split.decode(raw)
    try:
        found = _split_at_most(limit).decode(raw)
    except msgspec.ValidationError:
        raise InvalidFields(f"at most {limit} inputs in one request", field=field) from None
    return [item for item in msgspec.structs.astuple(found) if item is not _NOTHING]


@functools.cache
def _split_at_most(limit: int) -> msgspec.json.Decoder[msgspec.Struct]:
    """Return a decoder that refuses an array of more than *limit* items, and builds no more."""
    fields = [(f"item_{place}", msgspec.Raw, _NOTHING) for place in range(limit)]
    kind = msgspec.defstruct("AtMost", fields, array_like=True, forbid_unknown_fields=True)
    return msgspec.json.Decoder(kind)
