"""The state between two pieces of a recording, as a string that the client keeps."""

import binascii
from typing import NamedTuple

import numpy as np

from handler_kit.errors import InvalidInput
from handler_kit.wav import Samples
from recognition_kit.activity.network import CONTEXT, WIDTH

_NUMBERS = 2 * WIDTH + CONTEXT
REFUSED = "state: must be the state from an earlier answer of this model"


class RecordingState(NamedTuple):
    """What depends on the earlier pieces: the LSTM's state, [128] each, and the last 64 samples.

    As a string it is the base64 of these 320 numbers in this order, as little-endian float32.
    """

    hidden: Samples
    cell: Samples
    context: Samples

    @classmethod
    def first(cls) -> "RecordingState":
        """Return the state at the beginning of a recording."""
        return cls.from_numbers(np.zeros(_NUMBERS, np.float32))

    @classmethod
    def from_numbers(cls, numbers: Samples) -> "RecordingState":
        """Return the state that consists of 320 *numbers*."""
        return cls(numbers[:WIDTH], numbers[WIDTH : 2 * WIDTH], numbers[2 * WIDTH :])

    @classmethod
    def parse(cls, text: str) -> "RecordingState":
        """Return the state encoded in *text*.  Raises InvalidInput."""
        try:
            data = binascii.a2b_base64(text, strict_mode=True)
        except ValueError as exc:  # also raised for text that is not ASCII
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
