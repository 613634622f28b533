"""A client's parameters that several tasks share."""

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from handler_kit.errors import InvalidInput

Parameters = TypeVar("Parameters", bound=msgspec.Struct)
TopK = Annotated[int, Meta(ge=1, le=1000)]


class RankingParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """*top_k* is the number of answers, best first."""

    top_k: TopK = 5


def parse_parameters(raw: dict[str, Any], kind: type[Parameters]) -> Parameters:
    """Return *raw* as *kind*.  Raises InvalidInput naming the invalid parameter."""
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as exc:
        raise InvalidInput(f"parameters: {exc}") from exc
