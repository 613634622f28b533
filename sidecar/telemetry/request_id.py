"""The id of the request that is being served: on its log lines, and in its jobs."""

import logging
from contextvars import ContextVar

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)


class RequestIdFilter(logging.Filter):
    """Puts the id on each record; a record that brings one (`extra`) keeps it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Put the id on *record*, and let every record through."""
        if not hasattr(record, "request_id"):
            record.request_id = REQUEST_ID.get()
        return True
