"""How a line looks: as text for people, or as JSON for programs."""

import logging
import re
from datetime import UTC, datetime
from typing import Any

import msgspec

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_IN_TRACEBACK = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LIKE_A_LINE = re.compile(r"^(?=\d{4}-\d\d-\d\dT)", re.MULTILINE)
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_encode = msgspec.json.Encoder().encode


class AccessLine(msgspec.Struct, frozen=True, gc=False):
    """One request.  *path* is the route's: what a client put into it or behind it is not kept.

    *seconds* from the request's head to the answer's end, for streams; to its start, else.
    *bytes* of the answer's body; None where it is sent from a file.
    """

    method: str
    path: str
    status: int
    seconds: float
    subject: str | None
    bytes: int | None

    def __str__(self) -> str:
        size = "-" if self.bytes is None else self.bytes
        return (
            f"{self.method} {self.path} {self.status} {self.seconds:.6f} s "
            f"{size} bytes {self.subject or '-'}"
        )


class TextFormatter(logging.Formatter):
    """`time level logger [request id] - message`; control characters are escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and below it the traceback if there is one."""
        request_id = getattr(record, "request_id", None)
        asked = f" [{CONTROL.sub(_escaped, request_id)}]" if request_id else ""
        message = CONTROL.sub(_escaped, record.getMessage())
        line = f"{_time(record)} {record.levelname:7} {record.name}{asked} - {message}"
        return line if record.exc_text is None else f"{line}\n{_below(record.exc_text)}"


class JsonFormatter(logging.Formatter):
    """One JSON object; an access line's fields stand beside the common ones."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; `exception` is there only when there is one."""
        request_id = getattr(record, "request_id", None)
        fields: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": _SURROGATES.sub(_escaped, record.getMessage()),
            "request_id": request_id and _SURROGATES.sub(_escaped, request_id),
        }
        if isinstance(record.msg, AccessLine):
            fields |= msgspec.structs.asdict(record.msg)
        if record.exc_text is not None:
            fields["exception"] = _SURROGATES.sub(_escaped, record.exc_text)
        return _encode(fields).decode()


def _below(traceback: str) -> str:
    """Return *traceback* such that no line of it, whatever an exception quotes, starts as ours."""
    return _LIKE_A_LINE.sub("  ", _IN_TRACEBACK.sub(_escaped, traceback))


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
