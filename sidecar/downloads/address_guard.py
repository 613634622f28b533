"""Which addresses may be asked: checked before each request, so at every redirect too.

Any public host by https; hosts that the operator named also by http, and with a private
address.  A name that leads to a private address is refused, and so is a connection that
ended at one (a name may lead elsewhere the second time it is looked up).
"""

import ipaddress
import re
import socket
import urllib.request
from collections.abc import Collection
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from sidecar.downloads.messages import DownloadFailed, DownloadInterrupted

DEFAULT_PORTS = {"https": 443, "http": 80}
MAX_URL = 2048
MAX_HOST = 253  # RFC 1035
HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.ASCII)
LOOKS_LIKE_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)  # of a name's last part

# What `ipaddress` calls global in some version of Python that we run on (its tables changed in
# 3.11.10, 3.12.4 and 3.13), and blocks whose addresses hold another one.
NOT_PUBLIC = [
    ipaddress.ip_network(block)
    for block in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "240.0.0.0/4",
        "::/8",  # unspecified, loopback, IPv4-compatible, -mapped and -translated
        "64:ff9b::/96",
        "64:ff9b:1::/48",  # NAT64
        "100::/32",  # discard-only, and dummy (100:0:0:1::/64)
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
    )
]
V6_PUBLIC = ipaddress.ip_network("2000::/3")  # all that IANA has given out for the internet


class WebAddress(NamedTuple):
    """The parts of an address that the rules are about; *host* is in lower case."""

    scheme: str
    host: str
    port: int
    has_user: bool


class AddressGuard:
    """The rule, for one download.  *hosts* are names, with or without a port."""

    def __init__(self, hosts: Collection[str]) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)

    def check_written(self, url: str) -> None:
        """Check what can be told from *url* alone, without looking its host up.

        Raises DownloadFailed, with a sentence that names the host, but not the whole URL.
        """
        address = parse_address(url)
        if self._is_named(address):
            return
        if address.scheme != "https":
            raise DownloadFailed(
                f"{address.host} is asked by https only; SIDECAR_DOWNLOAD_HOSTS allows it by "
                "http too"
            )
        if is_private(address.host):
            raise _private(address.host)

    def check(self, url: str) -> None:
        """Check *url*, and every address that its host has.  Raises DownloadFailed."""
        self.check_written(url)
        address = parse_address(url)
        if self._is_named(address) or _has_proxy(address):
            return
        if leads_inside(address.host, address.port):
            raise _private(address.host)

    def check_peer(self, url: str, stream: Any) -> None:
        """Apply the same rule to the connection *stream* that a request to *url* went over."""
        address = parse_address(url)
        if self._is_named(address) or _has_proxy(address):
            return
        peer = stream.get_extra_info("server_addr") if stream is not None else None
        if peer and is_private(str(peer[0])):
            raise DownloadFailed(f"{address.host} led to a private address")

    def _is_named(self, address: WebAddress) -> bool:
        return address.host in self._hosts or f"{address.host}:{address.port}" in self._hosts


def parse_address(url: str) -> WebAddress:
    """Return the parts of the web address *url*.

    Raises DownloadFailed for one that is malformed, or that two programs may read in two ways.
    """
    if len(url) > MAX_URL:
        raise DownloadFailed(f"an address must have at most {MAX_URL} characters, not {len(url)}")
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise DownloadFailed(
            "an address must have neither spaces, backslashes nor control characters, and other "
            "letters only as %XX, or as xn-- in its host"
        )
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
    except ValueError as exc:
        raise DownloadFailed("this is not a web address") from exc
    if parts.scheme not in DEFAULT_PORTS:
        raise DownloadFailed(f"only https addresses are fetched, not {parts.scheme or 'others'}:")
    _check_host(host, is_bracketed="[" in parts.netloc)
    return WebAddress(parts.scheme, host, _port(parts), "@" in parts.netloc)


def host_of(url: str) -> str:
    """Return ``host:port`` of *url*, for `AddressGuard`.  Raises DownloadFailed."""
    address = parse_address(url)
    return f"{address.host}:{address.port}"


def leads_inside(host: str, port: int) -> bool:
    """Return whether any address of *host* is private.  Raises DownloadInterrupted without one."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        raise DownloadInterrupted(
            f"{host} cannot be found; is this machine connected to the internet?"
        ) from exc
    return any(is_private(str(address[4][0])) for address in found)


def is_private(host: str) -> bool:
    """Return whether *host* is an address that is not reached over the internet.

    A name is not, save those that stand for this machine.
    """
    bare = host.rstrip(".").lower()
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return bare == "localhost" or bare.endswith(".localhost")
    return not _is_public(address)


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Return whether *address* is one of the internet's own.

    One that holds an IPv4 address is never: whatever it holds, it leads where we cannot see.
    The one exception is an IPv4-mapped address, which the system itself takes for the other.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return False
        if address.ipv4_mapped is not None:
            return _is_public(address.ipv4_mapped)
        if address not in V6_PUBLIC:
            return False
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not any(address.version == block.version and address in block for block in NOT_PUBLIC)
    )


def _check_host(host: str, *, is_bracketed: bool) -> None:
    if is_bracketed:
        try:
            ipaddress.IPv6Address(host.replace("%25", "%"))
        except ValueError as exc:
            raise DownloadFailed(f"[{host}] is not an IPv6 address") from exc
        return
    if len(host) > MAX_HOST or not HOST_NAME.fullmatch(host):
        raise DownloadFailed("an address must name a host, as in https://example.com/model.zip")
    last = host.rstrip(".").rpartition(".")[2]
    if LOOKS_LIKE_NUMBER.fullmatch(last) and not _is_ipv4(host):
        raise DownloadFailed(
            f"{host} is not a host: an IPv4 address is written as four decimal numbers, without "
            "leading zeros"
        )


def _is_ipv4(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _port(parts: Any) -> int:
    """Return the port of the split address *parts*.  Raises DownloadFailed."""
    try:
        port = parts.port
    except ValueError as exc:
        raise DownloadFailed("an address's port must be a number from 1 to 65535") from exc
    if port == 0:
        raise DownloadFailed("an address's port must be a number from 1 to 65535")
    return int(port) if port is not None else DEFAULT_PORTS[parts.scheme]


def _private(host: str) -> DownloadFailed:
    return DownloadFailed(
        f"{host} has a private address; SIDECAR_DOWNLOAD_HOSTS allows it nevertheless"
    )


def _has_proxy(address: WebAddress) -> bool:
    """Return whether a proxy looks the name up, and not this machine."""
    return address.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(
        address.host
    )
