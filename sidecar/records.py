"""State files are read record by record, so that a bad record costs itself alone."""

import logging
from typing import TypeVar

import msgspec

log = logging.getLogger(__name__)

Value = TypeVar("Value")

UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # what bytes can raise


def decoded_record(data: bytes | msgspec.Raw, kind: type[Value], where: str) -> Value | None:
    """Return the JSON *data* as *kind*; None, with a line in the log, when it is no such thing."""
    try:
        return msgspec.json.decode(data, type=kind)
    except UNDECODABLE as exc:
        log.warning("%s: left out, it cannot be read: %s", where, exc)
        return None
