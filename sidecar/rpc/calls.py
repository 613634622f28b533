"""How many calls there are."""

from collections.abc import Iterator
from contextlib import contextmanager


class CallsInProgress:
    """Counts the calls that are not answered yet; a server that stops waits for them."""

    def __init__(self) -> None:
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Count one call for as long as the block takes."""
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1
