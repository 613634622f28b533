"""A page that is computed at most once a second for all clients.

It stands alone as the counterpart of `result_cache`: a cache without HTTP, beside `web.page`, which
answers with it.
"""

import hashlib
import time
from collections.abc import Awaitable, Callable

import msgspec

from sidecar.caching.lookups import Lookups
from sidecar.caching.single_flight import SingleFlight


class Page(msgspec.Struct, frozen=True):
    """The bytes of a page.  *etag* is a strong one (RFC 9110, section 8.8.3)."""

    body: bytes
    etag: str
    computed_at: float


class Snapshot:
    """Keeps the newest page of one route for *seconds*."""

    def __init__(
        self,
        lookups: Lookups,
        *,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lookups = lookups
        self._seconds = seconds
        self._clock = clock
        self._page: Page | None = None
        self._flight: SingleFlight[Page] = SingleFlight()

    async def get(self, compute: Callable[[], Awaitable[bytes]], *, fresh: bool = False) -> Page:
        """Return the page.  If *fresh*, it is computed for this call or a concurrent one."""
        page, now = self._page, self._clock()
        if page is not None and not fresh and now - page.computed_at < self._seconds:
            self._lookups.count(hit=True)
            return page
        page, shared = await self._flight.run(b"", lambda: self._compute(compute))
        self._lookups.count(hit=shared)
        return page

    async def _compute(self, compute: Callable[[], Awaitable[bytes]]) -> Page:
        body = await compute()
        digest = hashlib.blake2b(body, digest_size=16).hexdigest()
        self._page = Page(body, f'"{digest}"', self._clock())
        return self._page
