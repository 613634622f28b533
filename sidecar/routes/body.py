"""A request's JSON body as a checked value."""

from typing import Protocol, TypeVar

import msgspec
from aiohttp import web

from sidecar.errors import InvalidFields, InvalidJson
from sidecar.routes.credentials import admit, require_scope
from sidecar.services import SERVICES, Services

NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Credited(Protocol):
    """What every request with a body has."""

    @property
    def token(self) -> str | None:
        """The credential that beats the headers."""


class Asked(Credited, Protocol):
    """What every inference request has."""

    @property
    def timeout(self) -> float:
        """Seconds."""


Request = TypeVar("Request", bound=Asked)
Body = TypeVar("Body")
Order = TypeVar("Order", bound=Credited)


async def read_json(request: web.Request, decoder: msgspec.json.Decoder[Request]) -> Request:
    """The checked body.  Raises, in this order: 413, 400, 401, 422."""
    body = await request.read()
    try:
        asked = decoder.decode(body)
    except msgspec.ValidationError as exc:
        await admit(request, _token_of_invalid(body))
        raise InvalidFields(field_rule(exc)) from exc
    except NOT_JSON as exc:
        raise InvalidJson(f"body: {exc}") from exc
    await admit(request, asked.token)
    check_timeout(asked, request.app[SERVICES])
    return asked


def read_query(request: web.Request, kind: type[Body]) -> Body:
    """The checked query.  Raises InvalidFields."""
    try:
        return msgspec.convert(dict(request.query), kind, strict=False)
    except msgspec.ValidationError as exc:
        raise InvalidFields(field_rule(exc)) from exc


async def read_as_admin(request: web.Request, decoder: msgspec.json.Decoder[Order]) -> Order:
    """The checked body of a request that changes things; no body is an empty object.

    Raises, in this order: 413, 400, 401, 403, 429, 422.
    """
    body = await request.read() or b"{}"
    try:
        asked = decoder.decode(body)
    except msgspec.ValidationError as exc:
        await require_scope(request, "admin", _token_of_invalid(body))
        raise InvalidFields(field_rule(exc)) from exc
    except NOT_JSON as exc:
        raise InvalidJson(f"body: {exc}") from exc
    await require_scope(request, "admin", asked.token)
    return asked


def check_timeout(asked: Asked, services: Services) -> None:
    """Raises InvalidFields for a time-out beyond the operator's limit."""
    if asked.timeout > services.settings.max_timeout_seconds:
        raise InvalidFields(f"timeout: at most {services.settings.max_timeout_seconds:g} seconds")


def field_rule(exc: msgspec.ValidationError) -> str:
    """msgspec's sentence with the field in front: ``priority: Expected `int` <= 10``."""
    rule, _, path = str(exc).partition(" - at `")
    field = path.rstrip("`").removeprefix("$").lstrip(".")
    if not field and "field" in rule and "`" in rule:
        field = rule.split("`")[1]
    return f"{field or 'body'}: {rule}" if not _names_field(rule) else rule


def _names_field(rule: str) -> bool:
    """Whether a sentence of our own (``text: give either …``) names the field already."""
    return ": " in rule and rule.partition(": ")[0].isidentifier()


def _token_of_invalid(body: bytes) -> str | None:
    """The token of a body with a wrong field, once the whole of it has proved to be JSON."""
    try:
        value = msgspec.json.decode(body)
    except NOT_JSON as exc:
        raise InvalidJson(f"body: {exc}") from exc
    token = value.get("token") if isinstance(value, dict) else None
    return token if isinstance(token, str) else None
