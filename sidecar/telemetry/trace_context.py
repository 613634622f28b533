"""Where in its trace the request that is being served is, as the header `traceparent` says it.

It is empty unless spans are exported: then it is the place of the request's own span.
"""

from contextvars import ContextVar

TRACEPARENT: ContextVar[str | None] = ContextVar("traceparent", default=None)
SAMPLED = 1  # the flag


def is_sampled(traceparent: str) -> bool:
    """Return whether the spans at *traceparent* are recorded."""
    return bool(int(traceparent[-2:], 16) & SAMPLED)
