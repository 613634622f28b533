"""Numbers to and from JSON: input bytes of any kind, and tensors as answers."""

import msgspec
import torch

from handler_kit.errors import InvalidInput

SIGNIFICANT_DIGITS = 9  # enough to tell any two float32 apart
_SMALLEST_EXPONENT, _LARGEST_EXPONENT = -45, 38  # of a float32

_encoder = msgspec.json.Encoder()


def parse(body: bytes) -> object:
    """*body* as JSON.  Raises InvalidInput, and nothing else, whatever the bytes."""
    try:
        return msgspec.json.decode(body)
    except RecursionError as exc:
        raise InvalidInput("The input is nested too deeply") from exc
    except (msgspec.DecodeError, UnicodeError) as exc:
        raise InvalidInput(f"The input is not valid JSON: {exc}") from exc


def encode_rows(outputs: torch.Tensor) -> list[bytes | InvalidInput]:
    """Each row of *outputs* [n, …] as JSON: nested lists, or a bare number where it is one.

    A row that holds NaN or an infinity, which JSON cannot say, is an error instead.
    """
    rows = outputs.flatten(1) if outputs.dim() > 1 else outputs.unsqueeze(1)
    finite = torch.isfinite(rows).all(dim=1).tolist()
    if rows.shape[1] == 1:
        outputs = rows.squeeze(1)
    if outputs.is_floating_point():
        outputs = shortened(outputs)
    return [
        _encoder.encode(row)
        if is_finite
        else InvalidInput("The model's answer to this input is not a finite number")
        for row, is_finite in zip(outputs.tolist(), finite, strict=True)
    ]


def shortened(values: torch.Tensor) -> torch.Tensor:
    """*values*, float32, as float64 that print with few digits and read back as the same float32.

    0.300000012 for 0.30000001192092896: nine digits, a third less to send.  Below 1e-13 powers
    of ten are no longer exact, and some keep more digits.
    """
    exact = values.double()
    exponent = exact.abs().log10().floor().clamp(_SMALLEST_EXPONENT, _LARGEST_EXPONENT)
    digits = SIGNIFICANT_DIGITS - 1 - exponent
    ten = torch.tensor(10.0, dtype=torch.float64)
    rounded = torch.where(
        digits >= 0,
        (exact * ten**digits).round() / ten**digits,
        (exact / ten**-digits).round() * ten**-digits,
    )
    return torch.where(rounded.float() == values, rounded, exact)
