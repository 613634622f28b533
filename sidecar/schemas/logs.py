"""/logs.  It stands alone because each group of endpoints has a module of schemas."""

from typing import Annotated

import msgspec
from msgspec import Meta


class LogQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much of a log file to show: its last lines, or its first."""

    lines: Annotated[int, Meta(ge=1, le=10_000)] = 100
    from_end: bool = True


class LogFileFacts(msgspec.Struct):
    """One log file.  Times are UTC; *created*: when its first line was written, if it says so."""

    name: str
    path: str
    size_bytes: int
    size_mb: float
    line_count: int
    last_modified: str
    created: str | None


class LogList(msgspec.Struct):
    """GET /logs.  The folder is named as the operator set it."""

    log_directory: str
    log_level: str
    available_log_files: list[LogFileFacts]
    total_log_size_mb: float


class LogEmptied(msgspec.Struct):
    """DELETE /logs/{file}"""

    success: bool
    message: str
    original_size_bytes: int
    original_size_mb: float
