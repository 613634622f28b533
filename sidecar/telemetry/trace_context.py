"""The position of the current request in its trace, in the form of the header `traceparent`.

Empty unless spans are exported; then it is the request's own span.
"""

from contextvars import ContextVar

TRACEPARENT: ContextVar[str | None] = ContextVar("traceparent", default=None)
SAMPLED = 1  # the flag


def is_sampled(traceparent: str) -> bool:
    """Return whether *traceparent* belongs to a trace that is recorded."""
    return bool(int(traceparent[-2:], 16) & SAMPLED)
