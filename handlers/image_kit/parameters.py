"""A client's parameters of a picture."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from handler_kit.errors import InvalidInput


class ImageParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """*top_k* is the number of labels in the answer."""

    top_k: Annotated[int, Meta(ge=1, le=1000)] = 5


class ImageBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The object form of an input."""

    image: str
    parameters: dict[str, Any] = {}


def parse_input(value: object, parameters: dict[str, Any]) -> tuple[str, ImageParameters]:
    """Return the picture's base64 and the parameters.  Raises InvalidInput."""
    if isinstance(value, dict):
        try:
            given = msgspec.convert(value, ImageBody)
        except msgspec.ValidationError as exc:
            raise InvalidInput(f"The input must be {{image, parameters}}: {exc}") from exc
        value, parameters = given.image, {**parameters, **given.parameters}
    if not isinstance(value, str):
        raise InvalidInput("The input must be a picture in base64, or {image, parameters}")
    return value, parse_parameters(parameters)


def parse_parameters(parameters: dict[str, Any]) -> ImageParameters:
    """Return the parameters.  Raises InvalidInput naming the invalid one."""
    try:
        return msgspec.convert(parameters, ImageParameters)
    except msgspec.ValidationError as exc:
        raise InvalidInput(f"parameters: {exc}") from exc
