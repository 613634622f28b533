"""The limits of one client, and of one model, together; and who is one client."""

import functools
import math
from collections import Counter
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from sidecar.access.identity import Identity
from sidecar.access.rate_limiter import Quota, Rate, RateLimiter
from sidecar.access.throttle import NO_CEILING, Ceiling
from sidecar.errors import TooManyRequests
from sidecar.settings import Settings

Network = IPv4Network | IPv6Network
IPV6_CLIENT_BITS = 64  # what one subscriber has


class Allowance(NamedTuple):
    """What one client, or one model, may use; None: no limit."""

    rate: Rate | None = None
    concurrent_requests: int | None = None

    @classmethod
    def of(
        cls, requests_per_second: float | None, burst: int | None, concurrent_requests: int | None
    ) -> "Allowance":
        """From what an operator sets."""
        rate = None if requests_per_second is None else Rate.of(requests_per_second, burst)
        return cls(rate, concurrent_requests)


NO_LIMIT = Allowance()


class Concurrency:
    """How many requests are in progress, by the client or model that they count for."""

    def __init__(self) -> None:
        self._in_progress: Counter[str] = Counter()

    def enter(self, who: str, limit: int) -> bool:
        """Return whether one more may begin; if so, count it until `leave`."""
        if self._in_progress[who] >= limit:
            return False
        self._in_progress[who] += 1
        return True

    def leave(self, who: str) -> None:
        """Count one request less."""
        self._in_progress[who] -= 1
        if not self._in_progress[who]:
            del self._in_progress[who]


class Limits:
    """Counts what clients do, and refuses what is too much."""

    def __init__(self, settings: Settings) -> None:
        self.per_client = Allowance.of(
            settings.rate_limit_requests_per_second,
            settings.rate_limit_burst,
            settings.rate_limit_concurrent_requests,
        )
        self.clients_limited = self.per_client != NO_LIMIT
        self.ceiling = Ceiling(
            settings.throttle_memory_percent,
            settings.throttle_gpu_memory_percent,
            settings.throttle_queue_depth,
        )
        self.throttled = self.ceiling != NO_CEILING
        self._trusted: Sequence[Network] = parse_networks(settings.trusted_proxies)
        self._rates = RateLimiter(settings.rate_limit_storage)
        self._concurrency = Concurrency()

    async def close(self) -> None:
        """Close the connections to a shared store."""
        await self._rates.close()

    def client(self, identity: Identity | None, peer: str | None, forwarded: str | None) -> str:
        """Return whom a request counts for: its token's subject, else its address."""
        if identity is not None:
            return f"{identity.kind}:{identity.subject}"
        return f"address:{client_address(peer, forwarded, self._trusted)}"

    async def take(self, name: str, allowance: Allowance, who: str) -> Quota | None:
        """Count one request of *who*; return what is left of the rate, None where none is set."""
        if allowance.rate is None:
            return None
        return await self._rates.take(name, allowance.rate, who)

    def enter(self, allowance: Allowance, who: str) -> bool:
        """Begin a request of *who*; return whether it has to `leave`.  Raises TooManyRequests."""
        limit = allowance.concurrent_requests
        if limit is None:
            return False
        if not self._concurrency.enter(who, limit):
            raise TooManyRequests(f"concurrent requests: the limit is {limit}", retry_after=1)
        return True

    def leave(self, who: str) -> None:
        """End a request of *who*."""
        self._concurrency.leave(who)


def refuse_exceeded(quota: Quota) -> None:
    """Raise TooManyRequests if *quota* is used up."""
    if quota.exceeded:
        raise TooManyRequests(
            f"at most {quota.rate.burst} requests per {quota.name} in {quota.rate.seconds} s",
            retry_after=math.ceil(quota.reset_seconds),
        )


def parse_networks(texts: Sequence[str]) -> list[Network]:
    """Return *texts* as networks.  Raises ValueError for what is neither address nor network."""
    return [ip_network(text, strict=False) for text in texts]


def client_address(peer: str | None, forwarded_for: str | None, trusted: Sequence[Network]) -> str:
    """Return the address that a request is counted for.

    *peer* is the address that connected.  If it is a trusted proxy, the client is the last address
    in X-Forwarded-For that is not a trusted proxy too; whatever comes before it, anybody could
    have written.  IPv6 clients are counted by their /64.
    """
    hops = [peer or "", *reversed([each.strip() for each in (forwarded_for or "").split(",")])]
    known = _parse(hops[0])
    for hop in hops[1:]:
        if known is None or not any(known in network for network in trusted):
            break
        before = _parse(hop)
        if before is None:
            break
        known = before
    if known is None:
        return "unknown"
    if isinstance(known, IPv6Address):
        return str(ip_network((known, IPV6_CLIENT_BITS), strict=False))
    return str(known)


@functools.lru_cache(maxsize=4096)  # the same clients ask again and again
def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
