"""CTranslate2's file of weights, ``model.bin``.

As ``ctranslate2/specs/model_spec.py`` writes it, little-endian: version (u32), name of the
specification, revision (u32), number of variables (u32); then of each its name, rank (u8),
dimensions (u32 each), type (u8), length in bytes (u32) and data; at last the aliases: their number
(u32) and pairs of names.  A name is its length (u16), the text and a zero byte.
"""

import struct
from typing import Any

import numpy as np

VERSION = 6
TYPES = {0: "<f4", 1: "i1", 2: "<i2", 3: "<i4", 4: "<f2"}  # bfloat16 (5) is not in numpy

Array = np.ndarray[Any, np.dtype[Any]]
Variables = dict[str, Array]


class _Reader:
    """The numbers and names of a file, one after another."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._at = 0

    def number(self, kind: str) -> int:
        value: int = struct.unpack(f"<{kind}", self.take(struct.calcsize(f"<{kind}")))[0]
        return value

    def name(self) -> str:
        return str(self.take(self.number("H")), "utf-8", "replace").rstrip("\0")

    def take(self, length: int) -> memoryview:
        part = self._data[self._at : self._at + length]
        if len(part) != length:
            raise ValueError("model.bin is truncated")
        self._at += length
        return part

    def end(self) -> None:
        if self._at != len(self._data):
            raise ValueError("model.bin continues after its last alias")


def read_variables(data: bytes, wanted: str) -> Variables:
    """Return every variable of a model.bin of the specification *wanted*.  Raises ValueError.

    Aliases are left out: they are tied weights.
    """
    reader = _Reader(data)
    version = reader.number("I")
    if version != VERSION:
        raise ValueError(f"model.bin is of version {version}, only {VERSION} is converted")
    specification = reader.name()
    if specification != wanted:
        raise ValueError(f"model.bin holds a {specification}, not a {wanted}")
    reader.number("I")  # the specification's revision
    variables = dict(_read_variable(reader) for _ in range(reader.number("I")))
    for _ in range(reader.number("I")):
        reader.name(), reader.name()
    reader.end()
    return variables


def _read_variable(reader: _Reader) -> tuple[str, Array]:
    name = reader.name()
    shape = [reader.number("I") for _ in range(reader.number("B"))]
    kind = reader.number("B")
    if kind not in TYPES:
        raise ValueError(f"{name} is of the unknown type {kind}")
    data = reader.take(reader.number("I"))
    array = np.frombuffer(data, TYPES[kind])
    if array.size != np.prod(shape, dtype=np.int64):
        raise ValueError(f"{name} has {array.size} numbers, but the shape {shape}")
    return name, array.reshape(shape)
