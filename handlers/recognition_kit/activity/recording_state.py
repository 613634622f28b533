"""What is kept of a recording between two pieces of it, as a string that the client holds."""

import binascii
from typing import NamedTuple

import numpy as np

from handler_kit.errors import InvalidInput
from handler_kit.wav import Samples
from recognition_kit.activity.network import CONTEXT, WIDTH

_NUMBERS = 2 * WIDTH + CONTEXT
REFUSED = "state: it is not one that this model gave"


class RecordingState(NamedTuple):
    """The LSTM's states, [128] each, and the last 64 samples: all of one recording's past.

    As a string: base64 of their 320 numbers, float32, little-endian, in this order.
    """

    hidden: Samples
    cell: Samples
    context: Samples

    @classmethod
    def first(cls) -> "RecordingState":
        """Nothing was heard yet."""
        return cls.from_numbers(np.zeros(_NUMBERS, np.float32))

    @classmethod
    def from_numbers(cls, numbers: Samples) -> "RecordingState":
        """Of 320 numbers."""
        return cls(numbers[:WIDTH], numbers[WIDTH : 2 * WIDTH], numbers[2 * WIDTH :])

    @classmethod
    def parse(cls, text: str) -> "RecordingState":
        """What `text` once gave.  Raises InvalidInput."""
        try:
            data = binascii.a2b_base64(text, strict_mode=True)
        except ValueError as exc:  # text that is not ASCII too
            raise InvalidInput(REFUSED) from exc
        if len(data) != 4 * _NUMBERS:
            raise InvalidInput(REFUSED)
        numbers = np.frombuffer(data, "<f4").astype(np.float32)
        if not np.isfinite(numbers).all():
            raise InvalidInput(REFUSED)
        return cls.from_numbers(numbers)

    @property
    def text(self) -> str:
        """The string that `parse` reads."""
        data = np.concatenate(self).astype("<f4").tobytes()
        return binascii.b2a_base64(data, newline=False).decode()
