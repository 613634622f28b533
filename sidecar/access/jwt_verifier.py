"""A JWT (RFC 7519) → an identity, or the reason why not."""

from typing import Any

import jwt

from sidecar.access.identity import Identity
from sidecar.access.signing_keys import SigningKeys
from sidecar.errors import NotAuthenticated
from sidecar.settings import Settings

REASONS: list[tuple[type[jwt.PyJWTError], str]] = [
    (jwt.ExpiredSignatureError, "The token has expired"),
    (jwt.ImmatureSignatureError, "The token is not valid yet"),
    (jwt.InvalidAudienceError, "The token is for another audience"),
    (jwt.InvalidIssuerError, "The token is from another issuer"),
    (jwt.InvalidSignatureError, "The token's signature is wrong"),
    (jwt.InvalidAlgorithmError, "The token is signed with another algorithm"),
    (jwt.MissingRequiredClaimError, "The token lacks a required claim"),
]


class JwtVerifier:
    """Checks signature, exp (required), nbf, iat, and aud and iss where they are set.

    A token with an `aud` is refused where no audience is set, as RFC 7519 asks.
    """

    def __init__(self, keys: SigningKeys, settings: Settings) -> None:
        self._keys = keys
        self._settings = settings

    async def verify(self, token: str) -> Identity:
        """Raises NotAuthenticated with the reason."""
        key = await self._keys.key_for(token)
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=list(self._keys.algorithms),
                audience=self._settings.jwt_audience,
                issuer=self._settings.jwt_issuer,
                leeway=self._settings.jwt_leeway_seconds,
                options={"require": ["exp", "sub"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as exc:
            raise NotAuthenticated(_reason(exc), invalid=True) from exc
        return _identity(claims)


def _reason(exc: Exception) -> str:
    return next(
        (reason for kind, reason in REASONS if isinstance(exc, kind)), "The token is malformed"
    )


def _identity(claims: dict[str, Any]) -> Identity:
    scope = claims.get("scope", "")
    if not isinstance(scope, str):
        raise NotAuthenticated("The token's scope must be a string", invalid=True)
    return Identity(claims["sub"], frozenset(scope.split()), "jwt", float(claims["exp"]))
