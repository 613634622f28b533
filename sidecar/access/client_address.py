"""Which address a request came from, behind proxies too."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
IPV6_CLIENT_BITS = 64  # what one subscriber has


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


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
