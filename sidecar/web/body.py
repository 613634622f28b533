"""A request's JSON body as a checked value.

`admission` has checked the head.  What is left comes in the order of docs/api.md ("Order of
checks"): the body itself, its syntax, the credential in it (which `Admission.accept_token` checks),
its fields.
"""

from typing import Any, Protocol, TypeVar

import msgspec
from aiohttp import web

from sidecar.errors import FieldError, InvalidFields, InvalidJson, NotAuthenticated, PayloadTooLarge
from sidecar.scheduling.scheduler import SchedulingOptions
from sidecar.settings import MB, Settings
from sidecar.validation import nearest_field
from sidecar.web import request_head
from sidecar.web.admission import CALL, Admission
from sidecar.web.body_reader import BodyReader, check_declared_size
from sidecar.web.turns import take_break

NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
ANONYMOUS_BYTES = MB  # read in search of a token, if one is required and no header has it
FIELDS_BYTES = MB  # of all fields but `inputs` together
MAX_RULE = 300  # characters; a rule may quote a name that the client made up


class Credited(Protocol):
    """The fields of every request with a body."""

    @property
    def token(self) -> str | None:
        """The credential that takes the place of one in the headers."""


class TimedRequest(Credited, Protocol):
    """The fields of every request that may take long."""

    @property
    def timeout(self) -> float:
        """Seconds from its arrival."""


class ScheduledRequest(TimedRequest, Protocol):
    """The fields of every inference request."""

    @property
    def priority(self) -> float:
        """How soon it is to run, 0 to 10."""


class _Token(msgspec.Struct):
    token: msgspec.Raw = msgspec.Raw(b"null")


class _Bulk(msgspec.Struct):
    inputs: msgspec.Raw = msgspec.Raw()
    input: msgspec.Raw = msgspec.Raw()  # OpenAI's word for it
    documents: msgspec.Raw = msgspec.Raw()  # to be ranked


Request = TypeVar("Request", bound=TimedRequest)
Query = TypeVar("Query")
Body = TypeVar("Body", bound=Credited)
_raw = msgspec.json.Decoder(msgspec.Raw)
_token = msgspec.json.Decoder(_Token)
_bulk = msgspec.json.Decoder(_Bulk)
_text = msgspec.json.Decoder(str)


async def read_json(
    admission: Admission,
    decoder: msgspec.json.Decoder[Request],
    *,
    line_breaks: bool = False,
) -> Request:
    """Return the checked body of an inference request, whose credential *admission* accepts.

    *line_breaks*: strings may hold raw line breaks, which count as spaces: ``base64`` of the shell
    writes them.

    Raises, in this order: 413 or 503, 400, 401, 429, 422.
    """
    asked = await _read(admission, decoder, line_breaks=line_breaks)
    check_timeout(asked, admission.settings)
    return asked


async def read_change(admission: Admission, decoder: msgspec.json.Decoder[Body]) -> Body:
    """Return the checked body of a request that changes things; no body is an empty object.

    Raises, in this order: 413 or 503, 400, 401, 403, 429, 422.
    """
    return await _read(admission, decoder, empty=b"{}")


def read_query(request: web.Request, kind: type[Query]) -> Query:
    """Return the checked query.  Raises InvalidFields."""
    try:
        return msgspec.convert(dict(request.query), kind, strict=False)
    except msgspec.ValidationError as exc:
        raise invalid_fields(exc, kind) from exc


def check_timeout(asked: TimedRequest, settings: Settings) -> None:
    """Raise InvalidFields for a time-out beyond the operator's limit."""
    if asked.timeout > settings.max_timeout_seconds:
        raise InvalidFields(
            f"must be at most {settings.max_timeout_seconds:g} seconds", field="timeout"
        )


def scheduling_of(request: web.Request, asked: ScheduledRequest) -> SchedulingOptions:
    """Return how soon *request*, whose body is *asked*, wants its answer."""
    return SchedulingOptions(
        asked.priority,
        asked.timeout,
        request[CALL].arrived,
        traceparent=request_head.traceparent(request),
    )


def invalid_fields(exc: msgspec.ValidationError, kind: Any, within: str = "") -> InvalidFields:
    """Return the refusal of a value that is not what a request's type, *kind*, says.

    *within* is the field that holds the value, where that is not the whole body.
    """
    if isinstance(exc.__cause__, FieldError):
        field, rule = exc.__cause__.field, exc.__cause__.rule
    else:
        field, rule = _field_and_rule(str(exc))
        rule += nearest_field(exc, kind)
    field = ".".join(filter(None, (within, field))) or "body"
    return InvalidFields(rule if len(rule) <= MAX_RULE else f"{rule[:MAX_RULE]}…", field=field)


def _field_and_rule(sentence: str) -> tuple[str, str]:
    """Return the two from msgspec's sentence: ``Expected `int` <= 10 - at `$.priority` ``.

    A missing or unknown field is named only in the rule.
    """
    rule, _, path = sentence.partition(" - at `")
    field = path.rstrip("`").removeprefix("$").lstrip(".")
    if not field and "field" in rule and "`" in rule:
        field = rule.split("`")[1]
    return field, rule


async def _read(
    admission: Admission,
    decoder: msgspec.json.Decoder[Body],
    *,
    empty: bytes = b"",
    line_breaks: bool = False,
) -> Body:
    max_bytes, max_values = admission.max_bytes, admission.settings.max_json_values
    if admission.needs_credential:
        max_bytes = min(max_bytes, ANONYMOUS_BYTES)
    with BodyReader(admission, max_bytes) as reader:
        try:
            if admission.needs_credential:
                check_declared_size(admission.request, max_bytes)
            body = await reader.read_json(max_values, line_breaks=line_breaks)
        except PayloadTooLarge:
            if not admission.needs_credential:
                raise
            raise NotAuthenticated(
                "A request body above 1 MB needs its credential in a header"
            ) from None
        large = len(body) > FIELDS_BYTES
        try:
            if large:
                _check_fields_size(body)
                await take_break(len(body))
            asked = decoder.decode(body or empty)
        except msgspec.ValidationError as exc:
            await admission.accept_token(_token_of_invalid(body))
            raise invalid_fields(exc, decoder.type) from exc
        except NOT_JSON as exc:
            raise _not_json(exc, admission, body) from exc
    await admission.accept_token(asked.token)
    if large:
        await take_break(len(body))
    return asked


def _not_json(exc: Exception, admission: Admission, body: bytearray) -> InvalidJson:
    """Return the refusal of *body*; where it was not meant as JSON, it says how to send a file."""
    rule = str(exc)
    if admission.takes_form and not body.lstrip().startswith(b"{"):
        rule += "; a file is sent as multipart/form-data, in the field file"
    return InvalidJson(rule, field="body")


def _check_fields_size(body: bytearray) -> None:
    """Raise PayloadTooLarge when other fields than those of the inputs make the body large."""
    inputs = msgspec.structs.astuple(_bulk.decode(body))
    if len(body) - sum(len(memoryview(each)) for each in inputs) > FIELDS_BYTES:
        raise PayloadTooLarge("at most 1 MB for all fields but the inputs together", field="body")


def _token_of_invalid(body: bytearray) -> str | None:
    """Return the token of a body with a wrong field, once the whole has proved to be JSON."""
    try:
        _raw.decode(body)
        return _text.decode(_token.decode(body).token)
    except msgspec.ValidationError:  # not an object, or not a string
        return None
    except NOT_JSON as exc:
        raise InvalidJson(str(exc), field="body") from exc
