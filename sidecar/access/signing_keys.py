"""What a JWT is checked with: our secret, a public key, or the keys of a JWKS address."""

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jwt
from jwt.algorithms import get_default_algorithms

from sidecar.access.private_file import create_private, read_private
from sidecar.errors import NotAuthenticated, Unavailable
from sidecar.settings import MIN_SECRET_BYTES, Settings, SettingsError

JWKS_SECONDS = 600.0  # how long fetched keys are used
JWKS_PAUSE_SECONDS = 10.0  # unknown key ids fetch anew no more often than this
JWKS_TIMEOUT_SECONDS = 5.0


class SigningKeys(Protocol):
    """Finds the key for a token."""

    algorithms: Sequence[str]

    async def key_for(self, token: str) -> Any:
        """The key to check *token* with.  Raises NotAuthenticated or Unavailable."""


class FixedKey:
    """One key for all tokens."""

    def __init__(self, key: Any, algorithms: Sequence[str]) -> None:
        self.key = key
        self.algorithms = algorithms

    async def key_for(self, _: str) -> Any:
        """The key."""
        return self.key


class JwksKeys:
    """The keys at a JWKS address, fetched in a thread, kept for a while.

    A token with an unknown key id fetches them anew, but no flood of such tokens fetches
    more than once in *JWKS_PAUSE_SECONDS*.
    """

    def __init__(
        self, url: str, algorithms: Sequence[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.algorithms = algorithms
        self._client = jwt.PyJWKClient(url, cache_jwk_set=False, timeout=JWKS_TIMEOUT_SECONDS)
        self._clock = clock
        self._keys: dict[str | None, Any] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._lock = asyncio.Lock()

    async def key_for(self, token: str) -> Any:
        """The key that *token* names."""
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
        except jwt.PyJWTError as exc:
            raise NotAuthenticated("The token is malformed", invalid=True) from exc
        if not self._is_fresh() or key_id not in self._keys:
            async with self._lock:
                await self._refresh(key_id)
        if key_id not in self._keys:
            raise NotAuthenticated("The token was signed with an unknown key", invalid=True)
        return self._keys[key_id]

    def _is_fresh(self) -> bool:
        return self._fetched_at is not None and self._clock() - self._fetched_at < JWKS_SECONDS

    async def _refresh(self, key_id: str | None) -> None:
        now = self._clock()
        recently = self._tried_at is not None and now - self._tried_at < JWKS_PAUSE_SECONDS
        if not recently and not (self._is_fresh() and key_id in self._keys):
            self._tried_at = now
            try:
                fetched = await asyncio.to_thread(self._client.get_signing_keys, refresh=True)
                self._keys = {key.key_id: key.key for key in fetched}
                self._fetched_at = self._clock()
            except jwt.PyJWTError:
                pass  # keys that are old are better than none, for a while
        if not self._keys:
            raise Unavailable(
                "token: its issuer's keys cannot be fetched right now",
                retry_after=int(JWKS_PAUSE_SECONDS),
            )


def signing_keys(settings: Settings) -> SigningKeys | None:
    """What *settings* name; in development without any, a secret made at the first start.

    None: production with API keys only.  Raises SettingsError when a key cannot be read.
    """
    if settings.jwt_jwks_url is not None:
        return JwksKeys(settings.jwt_jwks_url, _asymmetric(settings))
    if settings.jwt_public_key_file is not None:
        return _public_key(settings)
    secret: str | None = settings.jwt_secret
    if secret is None and settings.environment == "development":
        secret = development_secret(settings)
    return None if secret is None else FixedKey(secret, ("HS256",))


def development_secret(settings: Settings) -> str:
    """The secret that development made for itself, made now if it is not there yet."""
    path = settings.secret_file
    if not path.exists():
        create_private(path, secrets.token_urlsafe(MIN_SECRET_BYTES).encode())
    return read_private(path).decode()


def _public_key(settings: Settings) -> FixedKey:
    path = settings.jwt_public_key_file
    assert path is not None
    algorithms = get_default_algorithms()
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise SettingsError(f"SIDECAR_JWT_PUBLIC_KEY_FILE: {path}: {exc.strerror}") from exc
    for name in _asymmetric(settings):
        try:
            return FixedKey(algorithms[name].prepare_key(data), (name,))
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
    raise SettingsError(f"SIDECAR_JWT_PUBLIC_KEY_FILE: {path}: no RSA or EC public key in PEM form")


def _asymmetric(settings: Settings) -> Sequence[str]:
    return (settings.jwt_algorithm,) if settings.jwt_algorithm else ("RS256", "ES256")
