"""The format of a log line: text for people, or JSON for programs."""

import functools
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

CLIENT_LEFT = 499  # logged if the client left before the answer; nginx uses the same number
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_IN_TRACEBACK = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LIKE_A_LINE = re.compile(r"^(?=\d{4}-\d\d-\d\dT)", re.MULTILINE)
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_OF_REQUEST = ("method", "path", "status", "seconds", "subject", "bytes")
_encode = msgspec.json.Encoder().encode


class AccessLine(msgspec.Struct, frozen=True, gc=False):
    """One request.  *path* is the route's, without the values and the query of the client.

    *seconds* is from the request's head to the start of the answer, or to the end of a stream.
    *bytes* is the size of the body; None if it is sent from a file.  *time* is in epoch seconds.
    """

    method: str
    path: str
    status: int
    seconds: float
    subject: str | None
    bytes: int | None
    time: float
    request_id: str | None

    def __str__(self) -> str:
        size = "-" if self.bytes is None else self.bytes
        return (
            f"{self.method} {self.path} {self.status} {self.seconds:.6f} s "
            f"{size} bytes {self.subject or '-'}"
        )


class AccessLines(list[AccessLine]):
    """Access lines that are passed to the log as one record."""

    def __str__(self) -> str:
        return "\n".join(map(str, self))


class TextFormatter(logging.Formatter):
    """Formats `time level logger [request id] - message`.  Control characters are escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, followed by the traceback if there is one; or all access lines."""
        source = f"{record.levelname:7} {record.name}"
        if isinstance(record.msg, AccessLines):
            lines = record.msg
            return "\n".join(
                [_text(line.time, source, line.request_id, str(line)) for line in lines]
            )
        request_id = getattr(record, "request_id", None)
        line = _text(record.created, source, request_id, record.getMessage())
        return line if record.exc_text is None else f"{line}\n{_below(record.exc_text)}"


class JsonFormatter(logging.Formatter):
    """Formats one JSON object.  The fields of an access line are added to the common ones."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with `exception` if there is one; or all access lines."""
        common = {"level": record.levelname, "logger": record.name}
        if isinstance(record.msg, AccessLines):
            return "\n".join([_json_access_line(line, common) for line in record.msg])
        request_id = getattr(record, "request_id", None)
        fields: dict[str, Any] = {
            "time": _time(record.created),
            **common,
            "message": _SURROGATES.sub(_escaped, record.getMessage()),
            "request_id": request_id and _SURROGATES.sub(_escaped, request_id),
        }
        if record.exc_text is not None:
            fields["exception"] = _SURROGATES.sub(_escaped, record.exc_text)
        return _encode(fields).decode()


def _text(time: float, source: str, request_id: str | None, message: str) -> str:
    asked = f" [{request_id}]" if request_id else ""
    text = f"{source}{asked} - {message}"
    if not text.isprintable():
        text = CONTROL.sub(_escaped, text)
    return f"{_time(time)} {text}"


def _json_access_line(line: AccessLine, common: Mapping[str, str]) -> str:
    fields = {
        "time": _time(line.time),
        **common,
        "message": str(line),
        "request_id": line.request_id,
        **{name: getattr(line, name) for name in _OF_REQUEST},
    }
    text: str = _encode(fields).decode()
    return text


def _below(traceback: str) -> str:
    """Return *traceback* with each line indented, so that no quoted text looks like a log line."""
    return _LIKE_A_LINE.sub("  ", _IN_TRACEBACK.sub(_escaped, traceback))


def _time(seconds: float) -> str:
    whole, fraction = divmod(seconds, 1)
    return f"{_second(int(whole))}.{int(fraction * 1000):03}Z"


@functools.lru_cache(maxsize=4)  # thousands of lines have the same second
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
