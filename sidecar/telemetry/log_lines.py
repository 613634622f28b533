"""How a line looks: as text for people, or as JSON for programs."""

import logging
import re
from datetime import UTC, datetime
from typing import Any

import msgspec

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
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
        """The line, and below it the traceback if there is one."""
        request_id = getattr(record, "request_id", None)
        asked = f" [{request_id}]" if request_id else ""
        message = CONTROL.sub(_escaped, record.getMessage())
        line = f"{_time(record)} {record.levelname:7} {record.name}{asked} - {message}"
        return line if record.exc_text is None else f"{line}\n{record.exc_text}"


class JsonFormatter(logging.Formatter):
    """One JSON object; an access line's fields stand beside the common ones."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; `exception` is there only when there is one."""
        fields: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": getattr(record, "request_id", None),
        }
        if isinstance(record.msg, AccessLine):
            fields |= msgspec.structs.asdict(record.msg)
        if record.exc_text is not None:
            fields["exception"] = record.exc_text
        return _encode(fields).decode()


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
