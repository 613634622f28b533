"""Requests per second, by the `limits` library: a sliding window counter.

*burst* requests may come in any window of ``burst / requests_per_second`` seconds (whole ones).
The library weighs the window before by its share, so a count is within a few percent of the
true one (see its documentation, "Sliding Window Counter").
"""

import logging
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.storage import Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from limits.storage import storage_from_string

if TYPE_CHECKING:
    from redis.asyncio import ConnectionPool

log = logging.getLogger(__name__)

REMIND_SECONDS = 60.0
MEMORY = "memory://"
STORE_SECONDS = 0.5  # for an answer of a store in another process


class Rate(NamedTuple):
    """At most *burst* requests in *seconds*."""

    burst: int
    seconds: int

    @classmethod
    def of(cls, requests_per_second: float, burst: int | None) -> "Rate":
        """Return the rate; by default *burst* is what one second allows, at least one request."""
        most = burst or max(1, math.ceil(requests_per_second))
        seconds = max(1, round(most / requests_per_second))
        return cls(max(1, round(requests_per_second * seconds)), seconds)


class Quota(NamedTuple):
    """What is left of a rate.  *reset_seconds*: when there is more."""

    name: str
    rate: Rate
    remaining: int
    reset_seconds: int
    exceeded: bool

    def headers(self) -> dict[str, str]:
        """RateLimit and RateLimit-Policy, as draft-ietf-httpapi-ratelimit-headers-10 has them."""
        return {
            "RateLimit-Policy": f'"{self.name}";q={self.rate.burst};w={self.rate.seconds}',
            "RateLimit": f'"{self.name}";r={self.remaining};t={self.reset_seconds}',
        }


class RateLimiter:
    """Counts requests by whom they count for, in this process or in a shared store."""

    def __init__(self, storage_uri: str | None, clock: Callable[[], float] = time.time) -> None:
        self._pool = _connections(storage_uri)
        options: dict[str, Any] = {}
        if self._pool is not None:
            options = {"implementation": "redispy", "connection_pool": self._pool}
        storage = storage_from_string(
            f"async+{storage_uri or MEMORY}", wrap_exceptions=True, **options
        )
        assert isinstance(storage, Storage)
        self._window = SlidingWindowCounterRateLimiter(storage)
        self._clock = clock
        self._remind_at = 0.0

    async def close(self) -> None:
        """Close the connections to a shared store."""
        if self._pool is not None:
            await self._pool.aclose()

    async def take(self, name: str, rate: Rate, who: str) -> Quota:
        """Count one request of *who*; return what is left of *rate*.

        While the store cannot be reached nobody is refused, and the log says so.
        """
        item: RateLimitItem = RateLimitItemPerSecond(rate.burst, rate.seconds)
        try:
            allowed = await self._window.hit(item, name, who)
            stats = await self._window.get_window_stats(item, name, who)
        except StorageError as exc:
            self._complain(exc)
            return Quota(name, rate, rate.burst, rate.seconds, exceeded=False)
        reset = max(1, math.ceil(stats.reset_time - self._clock()))
        return Quota(name, rate, max(0, stats.remaining), reset, not allowed)

    def _complain(self, exc: Exception) -> None:
        now = self._clock()
        if now >= self._remind_at:
            self._remind_at = now + REMIND_SECONDS
            log.error("rate limits are not enforced: their store fails: %s", type(exc).__name__)


def _connections(uri: str | None) -> "ConnectionPool | None":
    """To a store in another process; None for this process's own."""
    if uri is None:
        return None
    # Not at the top: it is large, and imports all of OpenTelemetry.
    from redis import DriverInfo  # noqa: PLC0415
    from redis.asyncio import ConnectionPool  # noqa: PLC0415

    return ConnectionPool.from_url(
        uri,
        socket_timeout=STORE_SECONDS,
        socket_connect_timeout=STORE_SECONDS,
        driver_info=DriverInfo(),  # reads its version from disk: not while it serves
    )
