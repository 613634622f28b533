"""The datatypes of tensors, by the protocol's names."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, NamedTuple

import numpy as np
from msgspec import Meta

BYTES: Final = "BYTES"
_LARGEST_LIMIT = 2**63 - 1  # the largest bound that msgspec accepts


class NumberType(NamedTuple):
    """A datatype whose elements are numbers or booleans.

    *stored* is its form in binary data, and *read_as* the one that NumPy computes with; they differ
    for BF16, which is the upper half of a float32.  *in_json* is the type of an element in JSON.
    """

    stored: np.dtype[Any]
    read_as: np.dtype[Any]
    in_json: Any
    is_whole: bool


def _whole(name: str) -> NumberType:
    stored = np.dtype(name).newbyteorder("<")
    least, most = int(np.iinfo(stored).min), int(np.iinfo(stored).max)
    limits = Meta(ge=least) if most > _LARGEST_LIMIT else Meta(ge=least, le=most)
    return NumberType(stored, np.dtype(name), Annotated[int, limits], is_whole=True)


def _real(name: str, stored: str | None = None) -> NumberType:
    largest = float(np.finfo(name).max)
    return NumberType(
        np.dtype(stored or name).newbyteorder("<"),
        np.dtype(name),
        Annotated[float, Meta(ge=-largest, le=largest)],
        is_whole=False,
    )


NUMBER_TYPES: Mapping[str, NumberType] = {  # all but BYTES
    "BOOL": NumberType(np.dtype("uint8"), np.dtype("bool"), bool, is_whole=True),
    "UINT8": _whole("uint8"),
    "UINT16": _whole("uint16"),
    "UINT32": _whole("uint32"),
    "UINT64": _whole("uint64"),
    "INT8": _whole("int8"),
    "INT16": _whole("int16"),
    "INT32": _whole("int32"),
    "INT64": _whole("int64"),
    "FP16": _real("float16"),
    "FP32": _real("float32"),
    "FP64": _real("float64"),
    "BF16": _real("float32", stored="uint16"),
}
