"""The sidecar's log files.  They are rotated by size and never contain a payload or a token."""

import logging
import logging.handlers
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from aiohttp.http_exceptions import HttpProcessingError

from sidecar.settings import MB, Settings
from sidecar.telemetry.log_lines import JsonFormatter, TextFormatter
from sidecar.telemetry.log_queue import LogQueue, RotatingLog

SERVER_LOG = "server.log"
ERROR_LOG = "server_errors.log"
REQUEST_LOG = "api_requests.log"
REQUESTS = "sidecar.requests"  # the logger of the lines in REQUEST_LOG
NEVER = logging.CRITICAL + 1


@contextmanager
def open_logs(settings: Settings) -> Iterator[None]:
    """Send all logging to the files and to standard error until the block ends.

    A thread writes the lines; on exit, all of them have been written.  Raises OSError if a file
    cannot be opened.
    """
    settings.logs.mkdir(parents=True, exist_ok=True)
    handlers = _handlers(settings)
    queue = LogQueue()
    queue.files = [each for each in handlers if isinstance(each, RotatingLog)]
    listener = logging.handlers.QueueListener(queue.queue, *handlers, respect_handler_level=True)
    root, requests = logging.getLogger(), logging.getLogger(REQUESTS)
    level_before = root.level
    root.setLevel(settings.log_level)
    requests.setLevel(logging.INFO if settings.access_log else NEVER)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.getLogger("aiohttp.access").setLevel(NEVER)  # it would log queries
    malformed = logging.getLogger("aiohttp.server")
    malformed.addFilter(_without_what_was_sent)
    root.addHandler(queue)
    requests.addHandler(queue)
    requests.propagate = False
    listener.start()
    try:
        yield
    finally:
        root.removeHandler(queue)
        requests.removeHandler(queue)
        requests.propagate = True
        malformed.removeFilter(_without_what_was_sent)
        root.setLevel(level_before)
        requests.setLevel(logging.NOTSET)
        listener.stop()  # after the last line
        for handler in handlers:
            with suppress(OSError):
                handler.close()


def _handlers(settings: Settings) -> list[logging.Handler]:
    def file(name: str) -> RotatingLog:
        limit = int(settings.log_max_mb * MB)
        return RotatingLog(settings.logs / name, limit, settings.log_backups)

    requests, server, errors = file(REQUEST_LOG), file(SERVER_LOG), file(ERROR_LOG)
    handlers: list[logging.Handler] = [requests, server, errors, logging.StreamHandler()]
    errors.setLevel(logging.ERROR)
    formatter = JsonFormatter() if settings.log_format == "json" else TextFormatter()
    for handler in handlers:
        handler.addFilter(_is_request if handler is requests else _is_no_request)
        handler.setFormatter(formatter)
    return handlers


def _is_request(record: logging.LogRecord) -> bool:
    return record.name == REQUESTS


def _is_no_request(record: logging.LogRecord) -> bool:
    return record.name != REQUESTS


def _without_what_was_sent(record: logging.LogRecord) -> bool:
    """Drop the error in which aiohttp quotes an unreadable header line: it may contain a token."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.exc_info = None
    return True
