"""The keys at a JWKS address (RFC 7517), by which others sign tokens for us."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

import jwt

from sidecar.errors import NotAuthenticated, Unavailable
from sidecar.settings import SettingsError

FRESH_SECONDS = 600.0  # how long fetched keys are used without a question
STALE_SECONDS = 3600.0  # how long they are used while the address does not answer
PAUSE_SECONDS = 10.0  # between two fetches, whatever happens
TIMEOUT_SECONDS = 5.0

log = logging.getLogger(__name__)


class JwksKeys:
    """Fetches the keys in a thread and keeps them for a while.

    A token with an unknown key id fetches them anew, but no flood of such tokens fetches
    more than once in *PAUSE_SECONDS*.  Only callers without a key wait for a fetch.
    """

    trust_seconds = FRESH_SECONDS

    def __init__(
        self, url: str, algorithms: Sequence[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.algorithms = algorithms
        self._clock = clock
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._lock = asyncio.Lock()
        try:
            self._client = jwt.PyJWKClient(url, cache_jwk_set=False, timeout=TIMEOUT_SECONDS)
        except (jwt.PyJWTError, ValueError) as exc:
            raise SettingsError(f"SIDECAR_JWT_JWKS_URL: {exc}") from exc

    async def key_for(self, token: str) -> jwt.PyJWK:
        """The key that *token* names.  Raises NotAuthenticated or Unavailable."""
        key_id = _key_id(token)
        lacking = key_id not in self._keys
        if lacking or (self._age() >= FRESH_SECONDS and not self._lock.locked()):
            async with self._lock:
                await self._refresh(key_id)
        if self._age() >= STALE_SECONDS:
            raise Unavailable(
                "token: the JWKS address of its issuer does not answer",
                error="The keys to check this token with cannot be fetched right now",
                retry_after=int(PAUSE_SECONDS),
            )
        if key_id not in self._keys:
            raise NotAuthenticated("The token was signed with an unknown key", invalid=True)
        return self._keys[key_id]

    def _age(self) -> float:
        return float("inf") if self._fetched_at is None else self._clock() - self._fetched_at

    async def _refresh(self, key_id: str) -> None:
        if key_id in self._keys and self._age() < FRESH_SECONDS:
            return  # another caller was faster
        now = self._clock()
        if self._tried_at is None or now - self._tried_at >= PAUSE_SECONDS:
            self._tried_at = now
            await asyncio.to_thread(self._fetch)

    def _fetch(self) -> None:
        """Runs in a thread to its end, also when the caller who wanted it has left."""
        try:
            fetched = self._client.get_signing_keys(refresh=True)
        except (jwt.PyJWTError, OSError, ValueError, TypeError) as exc:
            log.warning("the JWKS at %s cannot be fetched: %s", self._client.uri, exc)
            return
        self._keys = {key.key_id: key for key in fetched if self._is_usable(key)}
        self._fetched_at = self._clock()

    def _is_usable(self, key: jwt.PyJWK) -> bool:
        long_enough = key.Algorithm.check_key_length(key.key) is None
        return key.algorithm_name in self.algorithms and long_enough


def _key_id(token: str) -> str:
    try:
        key_id = jwt.get_unverified_header(token).get("kid")
    except (jwt.PyJWTError, ValueError) as exc:
        raise NotAuthenticated("The token is malformed", invalid=True) from exc
    if not isinstance(key_id, str):
        raise NotAuthenticated("The token does not name its key (kid)", invalid=True)
    return key_id
