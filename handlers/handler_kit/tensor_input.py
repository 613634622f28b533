"""The inputs of a tensor model: converts JSON values to arrays, and arrays to a batch."""

import hashlib
import math
import struct
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
import torch
from msgspec import Meta

from handler_kit.errors import InvalidInput
from handler_kit.options import InputOptions

Array = np.ndarray[Any, np.dtype[Any]]
_LARGEST = float(np.finfo(np.float32).max)
_NUMBERS: dict[str, Any] = {
    "float32": Annotated[float, Meta(ge=-_LARGEST, le=_LARGEST)],  # also refuses NaN
    "int64": Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)],
}


class TensorInput:
    """Converts JSON values to arrays of *rank* dimensions, according to *options*.

    NumPy creates a small array several times as fast as torch creates a tensor.
    """

    def __init__(self, options: InputOptions, rank: int) -> None:
        self.options = options
        self.rank = rank
        self.dtype = np.dtype(options.dtype)
        self._nested = _NUMBERS[options.dtype]
        for _ in range(rank):
            self._nested = list[self._nested]  # type: ignore[name-defined]

    def decode(self, value: object) -> Array:
        """Return *value* as an array of the options' shape.  Raises InvalidInput.

        A number counts as a list of one.  Text is refused, or hashed if the options say so.
        """
        if isinstance(value, str):
            value = self._hashed(value)
        elif self.rank == 1 and isinstance(value, (int, float)):
            value = [value]
        try:
            nested = msgspec.convert(value, self._nested)
            if self.options.fit == "pad_or_cut":
                nested = self._fitted(nested)
            array = np.array(nested, dtype=self.dtype)
        except (msgspec.ValidationError, OverflowError, RecursionError) as exc:
            raise InvalidInput(f"The input must be {self.wanted}: {exc}") from exc
        except ValueError as exc:  # a ragged list
            raise InvalidInput(f"The input's lists differ in length: {exc}") from exc
        return self._checked(array)

    @property
    def wanted(self) -> str:
        """The form of an input, in words."""
        kind = "numbers" if self.options.dtype == "float32" else "integers"
        return f"{'lists of ' * (self.rank - 1)}a list of {kind}"

    def sample(self, seed: int) -> Array | None:
        """Return a valid input, or None if any shape is allowed, so that none is certain to be."""
        if self.options.shape is None:
            return None
        numbers = np.arange(seed, seed + math.prod(self.options.shape))
        values = np.sin(numbers) if self.dtype.kind == "f" else numbers % 2
        return values.astype(self.dtype).reshape(self.options.shape)

    def _checked(self, array: Array) -> Array:
        shape = self.options.shape
        if shape is not None and array.shape != shape:
            expected, got = list(shape), list(array.shape)
            raise InvalidInput(f"The input must have the shape {expected}, not {got}")
        if array.size == 0:
            raise InvalidInput("The input is empty")
        return array

    def _fitted(self, numbers: list[float]) -> list[float]:
        length = self._length()
        return (numbers + [0] * (length - len(numbers)))[:length]

    def _hashed(self, text: str) -> list[float]:
        if self.options.text != "hash":
            raise InvalidInput(f"The input must be {self.wanted}, not text")
        return hash_text(text, self._length())

    def _length(self) -> int:
        (length,) = self.options.shape or ()  # the options have checked this
        return length


def stacked(arrays: Sequence[Array]) -> torch.Tensor:
    """Return one tensor [n, …] of n *arrays* of equal shape."""
    return torch.from_numpy(np.stack(arrays))


def hash_text(text: str, count: int) -> list[float]:
    """Return *count* numbers in [-1, 1) derived from *text*, equal on every machine.

    The numbers are ``(n >> 8) / 2**23 - 1`` for the 32-bit big-endian numbers n of ``sha256(text +
    block)``, where block counts 0, 1, 2 … as 32-bit big-endian; a block gives eight n.
    """
    content = text.encode("utf-8", "surrogatepass")
    blocks = range(-(-count // 8))
    stream = b"".join(hashlib.sha256(content + struct.pack(">I", b)).digest() for b in blocks)
    return [(n >> 8) / 2**23 - 1 for (n,) in struct.iter_unpack(">I", stream)][:count]
