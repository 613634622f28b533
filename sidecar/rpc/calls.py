"""Counts unanswered calls.

It stands alone because the program needs it before gRPC, which is imported only if it is used.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class CallsInProgress:
    """Counts the calls that have not been answered yet; a server that shuts down waits for them."""

    def __init__(self) -> None:
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Count one more call while the block runs."""
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1
