"""The keys at a JWKS address (RFC 7517), by which others sign tokens for us."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx2
import jwt
from cryptography.exceptions import UnsupportedAlgorithm

from sidecar.errors import NotAuthenticated, Unavailable
from sidecar.settings import SettingsError

FRESH_SECONDS = 600.0  # how old fetched keys may be before they are fetched again
STALE_SECONDS = 3600.0  # how long they are used while the address does not answer
PAUSE_SECONDS = 10.0  # between two fetches, whatever happens
FETCH_SECONDS = 5.0  # for a whole fetch: name, connection, headers and body
MAX_BYTES = 1 << 18  # of the answer; a key has about 500
MAX_KEYS = 100
OK = 200
UNUSABLE = (  # what PyJWT raises for a key that it cannot use
    jwt.PyJWTError,
    UnsupportedAlgorithm,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
)

log = logging.getLogger(__name__)


class JwksKeys:
    """Fetches the keys and keeps them for a while.

    A token with an unknown key id fetches them anew, but no flood of such tokens fetches
    more than once in *PAUSE_SECONDS*.  Only callers without a key wait for a fetch, and none
    of them longer than *fetch_seconds*, however slowly the address answers.
    """

    trust_seconds = FRESH_SECONDS

    def __init__(
        self,
        url: str,
        algorithms: Sequence[str],
        clock: Callable[[], float] = time.monotonic,
        fetch_seconds: float = FETCH_SECONDS,
    ) -> None:
        self.algorithms = algorithms
        self._url = _checked_url(url)
        self._clock = clock
        self._fetch_seconds = fetch_seconds
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def key_for(self, token: str) -> jwt.PyJWK:
        """Return the key that *token* names.  Raises NotAuthenticated or Unavailable."""
        key_id = _key_id(token)
        if key_id not in self._keys or (self._age() >= FRESH_SECONDS and self._fetching is None):
            await self._refresh()
        if self._age() >= STALE_SECONDS:
            raise Unavailable(
                "the JWKS address of its issuer does not answer",
                field="token",
                error="The keys to check this token with cannot be fetched right now",
                retry_after=int(PAUSE_SECONDS),
            )
        if key_id not in self._keys:
            raise NotAuthenticated("The token was signed with an unknown key", invalid=True)
        return self._keys[key_id]

    def _age(self) -> float:
        return float("inf") if self._fetched_at is None else self._clock() - self._fetched_at

    async def _refresh(self) -> None:
        """Wait for the fetch in progress, or start one if the pause since the last is over.

        A fetch continues after the caller that asked for it has left.
        """
        if self._fetching is None:
            now = self._clock()
            if self._tried_at is not None and now - self._tried_at < PAUSE_SECONDS:
                return
            self._tried_at = now
            self._fetching = asyncio.create_task(self._fetch(), name="fetch the JWKS")
        await asyncio.shield(self._fetching)

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(self._fetch_seconds):
                data = await _read(self._url)
            keys = await asyncio.to_thread(_keys_in, data)
        except TimeoutError:
            log.warning("the JWKS at %s did not come within %g s", self._url, self._fetch_seconds)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, RecursionError) as exc:
            reason = str(exc)[:200] or type(exc).__name__
            log.warning("the JWKS at %s cannot be fetched: %s", self._url, reason)
        except Exception:
            log.exception("the JWKS at %s cannot be fetched", self._url)
        else:
            self._keys = {key_id: key for key_id, key in keys.items() if self._is_usable(key)}
            self._fetched_at = self._clock()
        finally:
            self._fetching = None

    def _is_usable(self, key: jwt.PyJWK) -> bool:
        long_enough = key.Algorithm.check_key_length(key.key) is None
        return key.algorithm_name in self.algorithms and long_enough


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError as exc:
        raise SettingsError(f"SIDECAR_JWT_JWKS_URL: {exc}") from exc
    if not is_web:
        raise SettingsError("SIDECAR_JWT_JWKS_URL: must be an http or https address")
    return url


async def _read(url: str) -> bytes:
    """Return what is at *url*.  Raises ValueError for another status, or too large an answer.

    A redirect is another status: the operator has named the one address to trust.
    """
    async with (
        await asyncio.to_thread(_client) as client,
        client.stream("GET", url) as response,
    ):
        if response.status_code != OK:
            raise ValueError(f"status {response.status_code}")
        data = bytearray()
        async for piece in response.aiter_raw():
            data += piece
            if len(data) > MAX_BYTES:
                raise ValueError(f"it has more than {MAX_BYTES} bytes")
        return bytes(data)


def _client() -> httpx2.AsyncClient:
    """Return a new client.  It reads the certificates that it trusts, and so may block."""
    headers = {"Accept-Encoding": "identity"}
    return httpx2.AsyncClient(timeout=None, headers=headers)  # `_fetch` has a limit for all


def _keys_in(data: bytes) -> dict[str, jwt.PyJWK]:
    """Return the keys for signatures in the set *data*, by their ids.

    One that cannot be read is left out.  Raises ValueError where that leaves none.
    """
    content = json.loads(data)
    members = content.get("keys") if isinstance(content, dict) else None
    if not isinstance(members, list) or len(members) > MAX_KEYS:
        raise ValueError(f"it is not a JWK set of at most {MAX_KEYS} keys")
    keys: dict[str, jwt.PyJWK] = {}
    for member in members:
        key = _read_key(member)
        if key is not None:
            keys.setdefault(str(key.key_id), key)
    if not keys:
        raise ValueError("it holds no key for signatures that can be read")
    return keys


def _read_key(member: Any) -> jwt.PyJWK | None:
    if not isinstance(member, dict) or member.get("use", "sig") != "sig":
        return None
    if not isinstance(member.get("kid"), str) or not member["kid"]:
        return None
    try:
        return jwt.PyJWK(member)
    except UNUSABLE:
        return None


def _key_id(token: str) -> str:
    try:
        key_id = jwt.get_unverified_header(token).get("kid")
    except (jwt.PyJWTError, ValueError) as exc:
        raise NotAuthenticated("The token is malformed", invalid=True) from exc
    if not isinstance(key_id, str):
        raise NotAuthenticated("The token does not name its key (kid)", invalid=True)
    return key_id
