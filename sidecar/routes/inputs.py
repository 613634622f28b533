"""The field `inputs`: one input or a batch, told apart on the bytes, without decoding numbers.

An input is a number, boolean, string, object, or a flat list of numbers.  A list of lists,
strings or objects is a batch.  Models of a higher input rank take lists nested that deep
as one input.
"""

import re

import msgspec

from sidecar.errors import InvalidFields

_split = msgspec.json.Decoder(list[msgspec.Raw])
_SPACE = b" \t\n\r"
_FLAT_NUMBERS = re.compile(rb"""\s*\[[^["{tfn]*[0-9][^["{tfn]*\]\s*""")  # of what is JSON already
_KINDS = {ord('"'): "strings", ord("{"): "objects", ord("["): "lists"}


def split_inputs(raw: bytes, *, rank: int, limit: int) -> tuple[list[bytes], bool]:
    """The inputs in *raw*, each as its own JSON, and whether they came as a batch.

    Raises InvalidFields for null, an empty list, mixed kinds, or more than *limit* inputs.
    """
    if _FLAT_NUMBERS.fullmatch(raw):
        return [raw], False
    depth, first = _opening(raw)
    if depth == 0:
        if first == ord("n"):
            raise InvalidFields("inputs: must not be null")
        return [raw], False
    if first == ord("]") and depth == 1:
        raise InvalidFields("inputs: must not be empty")
    if depth == 1 and first not in b'"{':
        raise InvalidFields("inputs: a list must hold numbers, or lists, strings or objects alone")
    if depth <= rank and first not in b'"{':
        return [raw], False
    return _batch(raw, limit), True


def _opening(raw: bytes) -> tuple[int, int]:
    """How many brackets open before anything else, and the byte after them."""
    depth = 0
    for byte in raw:
        if byte == ord("["):
            depth += 1
        elif byte not in _SPACE:
            return depth, byte
    raise InvalidFields("inputs: must not be empty")


def _batch(raw: bytes, limit: int) -> list[bytes]:
    items = [bytes(item) for item in _split.decode(raw)]
    if len(items) > limit:
        raise InvalidFields(f"inputs: {len(items)} of them, the limit is {limit}")
    kinds = {_KINDS.get(item[0], "other values") for item in items}
    if len(kinds) > 1 or "other values" in kinds:
        raise InvalidFields(
            f"inputs: a batch must be of one kind, not {' and '.join(sorted(kinds))}"
        )
    return items
