"""Host and Origin: a web page elsewhere must not drive a local server.

A page can make a browser send requests here, and by DNS rebinding under a name of its
own.  So the `Host` must be ours: an address, localhost, or a name that is allowed; and an
`Origin`, which only browsers send, must be this very host or an allowed one.
"""

import ipaddress
import re
from collections.abc import Collection

from sidecar.errors import ForbiddenOrigin

LOCAL_NAMES = frozenset({"localhost"})
# RFC 3986, section 3.2, more strictly than it is: no percent-encoding, no user, ASCII alone.
_AUTHORITY = r"(?:\[(?P<v6>[0-9A-Fa-f:.]{2,45})\]|(?P<name>[A-Za-z0-9._-]{1,253}))(?::[0-9]{1,5})?"
_HOST = re.compile(_AUTHORITY)
_ORIGIN = re.compile(rf"[A-Za-z][A-Za-z0-9+.-]*://(?P<host>{_AUTHORITY})")  # RFC 6454, section 6.1


class OriginGuard:
    """Decides by *allowed_hosts* (names, or ``*`` for all) and *allowed_origins*."""

    def __init__(self, allowed_hosts: Collection[str], allowed_origins: Collection[str]) -> None:
        self._any_host = "*" in allowed_hosts
        self._hosts = LOCAL_NAMES | {host.lower() for host in allowed_hosts}
        self._origins = frozenset(origin.rstrip("/").lower() for origin in allowed_origins)
        self._known_hosts: set[str] = set()

    def check(self, host: str | None, origin: str | None) -> None:
        """Raise ForbiddenOrigin unless the headers Host and Origin are both allowed."""
        if host is not None and host not in self._known_hosts:
            if not self._is_ours(host):
                raise ForbiddenOrigin(
                    "not an address, localhost or a name that is allowed; "
                    "the setting SIDECAR_ALLOWED_HOSTS adds names",
                    field="Host",
                )
            if len(self._known_hosts) < 64:
                self._known_hosts.add(host)
        if origin is not None and not self.allows(origin, host):
            raise ForbiddenOrigin(
                "not allowed; SIDECAR_ALLOWED_ORIGINS adds origins", field="Origin"
            )

    def allows(self, origin: str, host: str | None) -> bool:
        """Return whether a page of *origin* may send requests to *host*."""
        if origin.lower() in self._origins:
            return True
        found = _ORIGIN.fullmatch(origin)
        return found is not None and host is not None and found["host"].lower() == host.lower()

    def is_foreign(self, origin: str) -> bool:
        """Return whether the settings allow *origin*, whose pages need CORS headers to read."""
        return origin.lower() in self._origins

    def _is_ours(self, host: str) -> bool:
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = (found["v6"] or found["name"]).lower()
        return self._any_host or name in self._hosts or _is_address(name)


def answered_hosts(allowed_hosts: Collection[str]) -> str:
    """Return, for people, which hosts OriginGuard lets pass with these *allowed_hosts*."""
    if "*" in allowed_hosts:
        return "every Host"
    names = sorted(LOCAL_NAMES | {host.lower() for host in allowed_hosts})
    return f"any address, {', '.join(names)}"


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
