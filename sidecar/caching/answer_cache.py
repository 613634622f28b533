"""The newest answers, bounded in bytes and in age.  Pure: time is an argument."""

from collections import OrderedDict
from typing import Generic, NamedTuple, Protocol, TypeVar

OVERHEAD_BYTES = 512  # of an answer, besides the bytes that it holds


class Sized(Protocol):
    """An answer that knows its size."""

    @property
    def size(self) -> int:
        """Bytes that it takes in memory."""


Answer = TypeVar("Answer", bound=Sized)


class _Kept(NamedTuple, Generic[Answer]):
    answer: Answer
    until: float


class AnswerCache(Generic[Answer]):
    """Least recently used answers leave first; one larger than the whole is not kept."""

    def __init__(self, *, max_bytes: int, max_seconds: float) -> None:
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds
        self._kept: OrderedDict[bytes, _Kept[Answer]] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: bytes, now: float) -> Answer | None:
        """Return the answer for *key*, unless it is too old."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.until <= now:
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return kept.answer

    def put(self, key: bytes, answer: Answer, now: float) -> None:
        """Keep *answer*, in place of an older one."""
        if key in self._kept:
            self._drop(key)
        if answer.size > self._max_bytes:
            return
        self._kept[key] = _Kept(answer, now + self._max_seconds)
        self.bytes += answer.size
        while self.bytes > self._max_bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: bytes) -> None:
        self.bytes -= self._kept.pop(key).answer.size
