"""What a JWT is checked with: our secret, a public key, or the keys at a JWKS address."""

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import jwt
from jwt.algorithms import get_default_algorithms

from sidecar.access.jwks_keys import JwksKeys
from sidecar.access.private_files import read_private
from sidecar.durable_files import create_whole
from sidecar.settings import MIN_SECRET_BYTES, Settings, SettingsError


class SigningKeys(Protocol):
    """Finds the key for a token.

    *algorithms* are the only ones it may be signed with; what was verified stays true for
    *trust_seconds*, as a key may be withdrawn.
    """

    algorithms: Sequence[str]
    trust_seconds: float

    async def key_for(self, token: str) -> Any:
        """Return the key to check *token* with.  Raises NotAuthenticated or Unavailable."""


class FixedKey:
    """One key for all tokens."""

    trust_seconds = float("inf")

    def __init__(self, key: Any, algorithms: Sequence[str]) -> None:
        self.key = key
        self.algorithms = algorithms

    async def key_for(self, _: str) -> Any:
        """Return the key."""
        return self.key


def signing_keys(settings: Settings) -> SigningKeys | None:
    """Return the keys that *settings* name; development without any makes a secret for itself.

    None: production with API keys only.  Raises SettingsError when a key cannot be used.
    """
    check_algorithm(settings)
    asymmetric = (settings.jwt_algorithm,) if settings.jwt_algorithm else ("RS256", "ES256")
    if settings.jwt_jwks_url is not None:
        return JwksKeys(settings.jwt_jwks_url, asymmetric)
    if settings.jwt_public_key_file is not None:
        return _public_key(settings.jwt_public_key_file, asymmetric)
    secret = signing_secret(settings)
    try:
        return None if secret is None else _fixed_key(secret, "HS256")
    except ValueError as exc:
        name = settings.secret_file if uses_development_secret(settings) else "SIDECAR_JWT_SECRET"
        raise SettingsError(f"{name}: {exc}") from exc


def signing_secret(settings: Settings) -> bytes | None:
    """Return the secret for HS256 tokens; development's is made now if there is none yet."""
    if settings.jwt_secret is not None:
        return settings.jwt_secret.encode()
    if not uses_development_secret(settings):
        return None
    check_algorithm(settings)
    return development_secret(settings).encode()


def check_algorithm(settings: Settings) -> None:
    """Raise SettingsError for an algorithm of public keys where there is none to check with."""
    sources = (settings.jwt_secret, settings.jwt_public_key_file, settings.jwt_jwks_url)
    if settings.jwt_algorithm in ("RS256", "ES256") and sources == (None, None, None):
        raise SettingsError(
            f"SIDECAR_JWT_ALGORITHM is {settings.jwt_algorithm}: "
            "set SIDECAR_JWT_PUBLIC_KEY_FILE or SIDECAR_JWT_JWKS_URL too"
        )


def development_secret(settings: Settings) -> str:
    """Return the secret that development makes for itself at its first start."""
    path = settings.secret_file
    if not path.exists():
        create_whole(path, secrets.token_urlsafe(MIN_SECRET_BYTES).encode())
    return read_private(path).decode(errors="replace").strip()


def uses_development_secret(settings: Settings) -> bool:
    """Return whether tokens are checked with the secret that development made for itself."""
    sources = (settings.jwt_secret, settings.jwt_public_key_file, settings.jwt_jwks_url)
    return settings.environment == "development" and sources == (None, None, None)


def _public_key(path: Path, algorithms: Sequence[str]) -> FixedKey:
    variable = "SIDECAR_JWT_PUBLIC_KEY_FILE"
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise SettingsError(f"{variable}: {path}: {exc.strerror}") from exc
    if b"PRIVATE KEY" in data:
        raise SettingsError(f"{variable}: {path} holds a private key; give the public one")
    for algorithm in algorithms:
        try:
            return _fixed_key(data, algorithm)
        except ValueError:
            continue
    rule = "a PEM public key: RSA of at least 2048 bits, or EC on P-256"
    raise SettingsError(f"{variable}: {path}: {' and '.join(algorithms)} need {rule}")


def _fixed_key(data: bytes, algorithm: str) -> FixedKey:
    """Return *data* as a key of *algorithm*.  Raises ValueError if unfit or too short."""
    rules = get_default_algorithms()[algorithm]
    try:
        key = rules.prepare_key(data)
    except (jwt.PyJWTError, TypeError) as exc:
        raise ValueError(str(exc)) from exc
    if weakness := rules.check_key_length(key):
        raise ValueError(weakness)
    return FixedKey(key, (algorithm,))
