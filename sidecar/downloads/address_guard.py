"""Which addresses may be asked: checked before each request, so at every redirect too.

Any public host by https; hosts that the operator named also by http, and with a private
address.  A name that leads to a private address is refused, and so is a connection that
ended at one (a name may lead elsewhere the second time it is looked up).
"""

import ipaddress
import socket
import urllib.request
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from sidecar.downloads.order import DownloadFailed

DEFAULT_PORTS = {"https": 443, "http": 80}


class AddressGuard:
    """The rule, for one download.  *hosts* are names, with or without a port."""

    def __init__(self, hosts: Collection[str]) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)

    def check(self, url: str) -> None:
        """Raises DownloadFailed, with a sentence that names the host, but not the whole URL."""
        parts = urlsplit(url)
        host, port = _host_and_port(url)
        if parts.scheme not in DEFAULT_PORTS or not host:
            raise DownloadFailed(f"only https addresses are fetched, not {parts.scheme or url}:")
        if self._is_named(host, port):
            return
        if parts.scheme != "https":
            raise DownloadFailed(
                f"{host} is asked by https only; SIDECAR_DOWNLOAD_HOSTS allows it by http too"
            )
        if _is_private(host) or (not _has_proxy(parts.scheme, host) and leads_inside(host, port)):
            raise DownloadFailed(
                f"{host} has a private address; SIDECAR_DOWNLOAD_HOSTS allows it nevertheless"
            )

    def check_peer(self, url: str, stream: Any) -> None:
        """The same rule for the connection *stream* that a request to *url* went over."""
        host, port = _host_and_port(url)
        if self._is_named(host, port) or _has_proxy(urlsplit(url).scheme, host):
            return
        peer = stream.get_extra_info("server_addr") if stream is not None else None
        if peer and _is_private(str(peer[0])):
            raise DownloadFailed(f"{host} led to a private address")

    def _is_named(self, host: str, port: int) -> bool:
        return host in self._hosts or f"{host}:{port}" in self._hosts


def host_of(url: str) -> str:
    """``host:port`` of *url*, for `AddressGuard`."""
    return "{}:{}".format(*_host_and_port(url))


def leads_inside(host: str, port: int) -> bool:
    """Whether any address of *host* is private.  Raises DownloadFailed when it has none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as exc:
        raise DownloadFailed(f"{host} cannot be found; is there a way to the internet?") from exc
    return any(_is_private(str(address[4][0])) for address in found)


def _host_and_port(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        return (parts.hostname or "").lower(), parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError as exc:
        raise DownloadFailed("this is no web address") from exc


def _is_private(host: str) -> bool:
    """Whether *host* is an address that is not reached over the internet; a name is none."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    mapped = getattr(address, "ipv4_mapped", None)
    return not (mapped or address).is_global or address.is_multicast


def _has_proxy(scheme: str, host: str) -> bool:
    """Whether a proxy looks the name up, and not this machine."""
    return scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(host)
