"""Numbers from and to JSON: parsing inputs, and encoding tensors as answers."""

from typing import Any

import msgspec
import numpy as np
import torch

from handler_kit.errors import InvalidInput

SIGNIFICANT_DIGITS = 9  # enough to distinguish any two float32
_SMALLEST_EXPONENT, _LARGEST_EXPONENT = -45, 38  # of a float32

Float32Array = np.ndarray[Any, np.dtype[np.float32]]
Float64Array = np.ndarray[Any, np.dtype[np.float64]]

_encoder = msgspec.json.Encoder()


def parse(body: bytes) -> object:
    """Return *body* parsed as JSON.  Raises only InvalidInput."""
    try:
        return msgspec.json.decode(body)
    except RecursionError as exc:
        raise InvalidInput("The input is nested too deeply") from exc
    except (msgspec.DecodeError, UnicodeError) as exc:
        raise InvalidInput(f"The input is not valid JSON: {exc}") from exc


def encode_rows(outputs: torch.Tensor) -> list[bytes | InvalidInput]:
    """Return each row of *outputs* [n, …] as JSON: nested lists, or a number for one element.

    For a row with NaN or infinity, which JSON cannot express, an error is returned.
    """
    values = outputs.numpy()
    rows = values.reshape(len(values), -1)
    finite = np.isfinite(rows).all(axis=1).tolist()
    if rows.shape[1] == 1:
        values = rows[:, 0]
    if outputs.is_floating_point():
        values = shortened(values)
    return [
        _encoder.encode(row)
        if is_finite
        else InvalidInput("The model's answer to this input is not a finite number")
        for row, is_finite in zip(values.tolist(), finite, strict=True)
    ]


def shortened(values: Float32Array) -> Float64Array:
    """Return *values* rounded so that they print with few digits and parse to the same float32.

    For example 0.300000012 instead of 0.30000001192092896: with nine digits, an answer is a third
    smaller.  Below 1e-13, powers of ten are not exact, and some numbers keep more digits.
    """
    exact = values.astype(np.float64)
    with np.errstate(all="ignore"):  # from zero, NaN and infinities, which are kept
        exponent = np.floor(np.log10(np.abs(exact)))
        exponent = np.clip(exponent, _SMALLEST_EXPONENT, _LARGEST_EXPONENT)
        digits = SIGNIFICANT_DIGITS - 1 - exponent
        rounded = np.where(
            digits >= 0,
            np.round(exact * 10.0**digits) / 10.0**digits,
            np.round(exact / 10.0**-digits) * 10.0**-digits,
        )
        same = rounded.astype(np.float32) == values
    return np.where(same, rounded, exact)
