"""The parameters of a request."""

from collections.abc import Mapping
from typing import NamedTuple

from sidecar.errors import InvalidFields
from sidecar.schemas.open_inference import Parameter

MICROSECONDS = 1_000_000  # in a second; the unit of the protocol's timeouts
MOST_PRIORITY = 10
_SEQUENCES = ("sequence_id", "sequence_start", "sequence_end")


class InferParameters(NamedTuple):
    """The checked parameters of a request.

    *timeout* is in seconds, *binary* asks for binary outputs, and *of_model* are those that are
    passed to the model.
    """

    priority: int
    timeout: float
    binary: bool
    of_model: dict[str, Parameter]


def read_parameters(
    given: Mapping[str, Parameter], longest_seconds: float, field: str = "parameters"
) -> InferParameters:
    """Return the checked parameters.  Without a timeout, or with 0, it is *longest_seconds*.

    Raises InvalidFields.
    """
    rest = dict(given)
    priority = _whole(rest.pop("priority", 0), MOST_PRIORITY, f"{field}.priority")
    most = int(longest_seconds * MICROSECONDS)
    timeout = _whole(rest.pop("timeout", 0), most, f"{field}.timeout", " microseconds")
    binary = read_flag(rest, "binary_data_output", field)
    for name in _SEQUENCES:
        if rest.pop(name, False):
            raise InvalidFields("request sequences are not supported", field=f"{field}.{name}")
    return InferParameters(priority, timeout / MICROSECONDS or longest_seconds, binary, rest)


def read_flag(parameters: dict[str, Parameter], name: str, field: str) -> bool:
    """Remove the boolean parameter *name* and return its value.  Raises InvalidFields."""
    value = parameters.pop(name, False)
    if not isinstance(value, bool):
        raise InvalidFields(f"expected true or false, got {value!r}", field=f"{field}.{name}")
    return value


def refuse_others(parameters: Mapping[str, Parameter], field: str) -> None:
    """Raise InvalidFields if there are any *parameters*: none of them is supported."""
    for name in parameters:
        raise InvalidFields("is not supported", field=f"{field}.{name}"[:200])


def _whole(value: Parameter, most: int, field: str, unit: str = "") -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise InvalidFields(f"expected a whole number from 0 to {most}{unit}", field=field)
    return value
