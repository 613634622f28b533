"""A tensor's elements: reading them from JSON or bytes, and writing them.

Sizes are checked before anything is allocated: the number of elements is computed with Python's
integers, as NumPy's overflow, and compared with the bytes received.  Numbers are one-dimensional
NumPy arrays in row-major order; elements of the type BYTES are a list.
"""

import functools
import math
import re
import struct
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from sidecar.errors import InvalidFields, PayloadTooLarge
from sidecar.open_inference.datatypes import BYTES, NUMBER_TYPES

Numbers = np.ndarray[Any, np.dtype[Any]]
Elements = Numbers | list[bytes]
Buffer = bytes | memoryview

MOST_DIMENSIONS = 16
STEP = 1 << 15  # elements converted at a time
PIECE_BYTES = 1 << 18  # of JSON decoded at a time
_LENGTH = struct.Struct("<I")  # precedes each element of the type BYTES
_OPENING = re.compile(rb"[\[ \t\n\r]*")
_encode = msgspec.json.Encoder().encode


def count_elements(shape: Sequence[int], most: int, field: str) -> int:
    """Return how many elements *shape* has.

    Raises InvalidFields if it has none, and PayloadTooLarge if it has more than *most*.
    """
    if not 0 < len(shape) <= MOST_DIMENSIONS:
        raise InvalidFields(
            f"expected 1 to {MOST_DIMENSIONS} dimensions, got {len(shape)}", field=f"{field}.shape"
        )
    if min(shape) < 1:
        raise InvalidFields(
            f"expected dimensions of at least 1, got {list(shape)}", field=f"{field}.shape"
        )
    count = math.prod(shape)  # Python's integers do not overflow
    if count > most:
        raise PayloadTooLarge(
            f"expected at most {most:,} elements, got {count:,}", field=f"{field}.shape"
        )
    return count


def from_bytes(data: Buffer, datatype: str, count: int, field: str) -> Elements:
    """Return the *count* elements in binary *data*.  Raises InvalidFields."""
    if datatype == BYTES:
        return _texts(memoryview(data), count, field)
    kind = NUMBER_TYPES[datatype]
    expected = count * kind.stored.itemsize
    if len(data) != expected:
        raise InvalidFields(
            f"expected {expected} bytes for {count} elements of {datatype}, got {len(data)}",
            field=field,
        )
    stored = np.frombuffer(data, kind.stored)
    if datatype == "BF16":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    if datatype == "BOOL" and stored.max() > 1:
        raise InvalidFields("expected 0 or 1 for each element of BOOL", field=field)
    return stored.astype(kind.read_as, copy=False)


def _texts(data: memoryview, count: int, field: str) -> list[bytes]:
    found: list[bytes] = []
    place = 0
    while place < len(data) and len(found) < count:
        start = place + _LENGTH.size
        place = start + _LENGTH.unpack_from(data, place)[0] if start <= len(data) else start
        if place > len(data):
            raise InvalidFields(f"the data ends within element {len(found)}", field=field)
        found.append(bytes(data[start:place]))
    if place < len(data) or len(found) < count:
        more = " and further bytes" if place < len(data) else ""
        raise InvalidFields(
            f"expected {count} elements of BYTES, each preceded by its length; "
            f"got {len(found)}{more}",
            field=field,
        )
    return found


def from_json(data: Buffer, datatype: str, shape: Sequence[int], field: str) -> Elements:
    """Return the elements in *data*: valid JSON, a flat list or lists nested according to *shape*.

    Raises InvalidFields.
    """
    opening = _OPENING.match(data)
    assert opening is not None
    depth = opening[0].count(b"[")
    if depth not in (1, len(shape)):
        raise InvalidFields(
            f"expected a flat list, or lists nested {len(shape)} deep according to the shape",
            field=field,
        )
    try:
        if depth == 1:
            values = _decoded_flat(data, datatype)
            _check_length(values, math.prod(shape), field)
        else:
            values = _flattened(_decoder(datatype, depth).decode(data), shape, field)
        return from_values(values, datatype)
    except msgspec.ValidationError as exc:
        rule, _, place = str(exc).partition(" - at `$")
        raise InvalidFields(rule, field=field + place.rstrip("`")) from exc
    except msgspec.DecodeError as exc:  # a nested list that was cut into pieces
        raise InvalidFields(f"expected a flat list of {datatype}", field=field) from exc
    except (OverflowError, UnicodeEncodeError) as exc:
        raise InvalidFields(f"expected elements of {datatype}: {exc}", field=field) from exc


@functools.cache
def _decoder(datatype: str, depth: int) -> msgspec.json.Decoder[list[Any]]:
    kind = str if datatype == BYTES else NUMBER_TYPES[datatype].in_json
    for _ in range(depth):
        kind = list[kind]  # type: ignore[valid-type]
    return msgspec.json.Decoder(kind)


def _decoded_flat(data: Buffer, datatype: str) -> list[Any]:
    """Return the elements of a flat list.  A long list of numbers is decoded in pieces.

    The decoder cannot be interrupted, and millions of numbers would block the event loop.
    """
    decode = _decoder(datatype, 1).decode
    if len(data) <= PIECE_BYTES or datatype == BYTES:
        return decode(data)
    content, values, start = bytes(data)[1:-1], list[Any](), 0
    while start < len(content):
        comma = content.find(b",", start + PIECE_BYTES)
        end = len(content) if comma < 0 else comma
        values += decode(b"[" + content[start:end] + b"]")
        start = end + 1
    return values


def _check_length(values: Sequence[Any], length: int, field: str) -> None:
    if len(values) != length:
        raise InvalidFields(f"expected {length} elements in a list, got {len(values)}", field=field)


def _flattened(values: list[Any], lengths: Iterable[int], field: str) -> list[Any]:
    """Return the items of the innermost lists; *lengths* has the length of the lists by level."""
    level: list[Any] = [values]
    for length in lengths:
        for each in level:
            _check_length(each, length, field)
        level = list(chain.from_iterable(level))
    return level


def from_values(values: Sequence[Any], datatype: str) -> Elements:
    """Return Python *values* as elements.  Raises OverflowError and UnicodeEncodeError."""
    if datatype == BYTES:
        return [value.encode() if isinstance(value, str) else value for value in values]
    numbers = np.empty(len(values), NUMBER_TYPES[datatype].read_as)
    for start in range(0, len(values), STEP):  # in steps, so that other threads can run in between
        numbers[start : start + STEP] = np.array(values[start : start + STEP], numbers.dtype)
    return numbers


def to_bytes(elements: Elements) -> bytes:
    """Return *elements* as binary data."""
    if isinstance(elements, list):
        return b"".join(part for each in elements for part in (_LENGTH.pack(len(each)), each))
    return elements.astype(elements.dtype.newbyteorder("<"), copy=False).tobytes()


def encode_numbers(numbers: Numbers) -> bytes:
    """Return *numbers* as nested JSON, encoded in steps so that other threads can run."""
    if numbers.size <= STEP:
        return _encode(numbers.tolist())
    rows = STEP * len(numbers) // numbers.size  # of one step
    if rows == 0:
        return b"[" + b",".join(map(encode_numbers, numbers)) + b"]"
    steps = (numbers[start : start + rows] for start in range(0, len(numbers), rows))
    return b"[" + b",".join(_encode(step.tolist())[1:-1] for step in steps) + b"]"


def to_json(elements: Elements, field: str) -> msgspec.Raw:
    """Return *elements* as a flat JSON list.  Raises InvalidFields for bytes that are not UTF-8."""
    if not isinstance(elements, list):
        return msgspec.Raw(encode_numbers(elements))
    try:
        return msgspec.Raw(_encode([each.decode() for each in elements]))
    except UnicodeDecodeError as exc:
        raise InvalidFields(
            "the output is not UTF-8 text; request it with binary_data", field=field
        ) from exc
