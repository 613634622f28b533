"""The id of the current request, for its log lines and its jobs."""

import logging
from contextvars import ContextVar

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)


class RequestIdFilter(logging.Filter):
    """Adds the id to each record, unless it was logged with one (`extra`)."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the id to *record*.  Every record passes."""
        if not hasattr(record, "request_id"):
            record.request_id = REQUEST_ID.get()
        return True
