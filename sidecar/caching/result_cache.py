"""Results of deterministic models: kept, and computed once for all who ask at the same time."""

import hashlib
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal, TypeVar

from sidecar.caching.answer_cache import AnswerCache, Sized
from sidecar.caching.lookups import Lookups
from sidecar.caching.single_flight import SingleFlight

Origin = Literal["computed", "cached", "coalesced"]
Answer = TypeVar("Answer", bound=Sized)


class ResultCache:
    """One for all models: a key holds the model, its version and the exact request."""

    def __init__(
        self,
        lookups: Lookups,
        *,
        max_bytes: int,
        max_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lookups = lookups
        self._clock = clock
        self._answers: AnswerCache[Any] = AnswerCache(max_bytes=max_bytes, max_seconds=max_seconds)
        self._flight: SingleFlight[Any] = SingleFlight()

    async def get(
        self,
        key: bytes,
        compute: Callable[[], Awaitable[Answer]],
        keep: Callable[[Answer], bool] = lambda _: True,
    ) -> tuple[Answer, Origin]:
        """Return the answer, and where it came from.  Raises what *compute* raises.

        An answer that is not to *keep* is not shared either.
        """
        kept: Answer | None = self._answers.get(key, self._clock())
        if kept is not None:
            self._lookups.count(hit=True)
            return kept, "cached"
        answer, shared = await self._flight.run(key, compute, keep)
        self._lookups.count(hit=shared)
        if shared:
            return answer, "coalesced"
        if keep(answer):
            self._answers.put(key, answer, self._clock())
        return answer, "computed"

    async def renew(
        self,
        key: bytes,
        compute: Callable[[], Awaitable[Answer]],
        keep: Callable[[Answer], bool] = lambda _: True,
    ) -> tuple[Answer, Origin]:
        """Return an answer computed for this caller alone, and kept for the others."""
        answer = await compute()
        if keep(answer):
            self._answers.put(key, answer, self._clock())
        return answer, "computed"


def digest(parts: Iterable[bytes]) -> bytes:
    """Return a key: equal only for equal *parts*."""
    total = hashlib.blake2b(digest_size=32)
    for part in parts:
        total.update(len(part).to_bytes(8, "big") + part)
    return total.digest()
