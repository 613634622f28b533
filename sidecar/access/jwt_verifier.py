"""A JWT (RFC 7519) → an identity, or the reason why not."""

import sys
import time
from collections.abc import Callable
from typing import Annotated, Any

import jwt
import msgspec
from msgspec import Meta

from sidecar.access.identity import Identity
from sidecar.access.signing_keys import SigningKeys
from sidecar.errors import NotAuthenticated
from sidecar.settings import Settings

EpochSeconds = Annotated[float, Meta(ge=0, le=sys.float_info.max)]  # not infinite

# Times are checked by our own clock, below.
OPTIONS: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}

REASONS: list[tuple[type[jwt.PyJWTError], str]] = [
    (jwt.InvalidAudienceError, "The token is for another audience"),
    (jwt.InvalidIssuerError, "The token is from another issuer"),
    (jwt.InvalidSignatureError, "The token's signature is wrong"),
    (jwt.InvalidAlgorithmError, "The token is signed with another algorithm"),
]


class Claims(msgspec.Struct):
    """What is read of a token.  *scope* is names with spaces between them."""

    sub: Annotated[str, Meta(min_length=1)]
    exp: EpochSeconds
    nbf: EpochSeconds = 0
    iat: EpochSeconds = 0
    scope: str = ""


class JwtVerifier:
    """Checks the signature, exp (required), nbf, iat, and aud and iss where they are set.

    A token with an `aud` is refused where no audience is set, as RFC 7519 asks.
    """

    def __init__(
        self, keys: SigningKeys, settings: Settings, clock: Callable[[], float] = time.time
    ) -> None:
        self._keys = keys
        self._settings = settings
        self._clock = clock
        self.trust_seconds = keys.trust_seconds

    async def verify(self, token: str) -> Identity:
        """Return whose token it is.

        Raises NotAuthenticated with the reason, Unavailable when no key to check it is at hand.
        """
        key = await self._keys.key_for(token)
        try:
            payload = jwt.decode(
                token,
                key,
                algorithms=self._keys.algorithms,
                audience=self._settings.jwt_audience,
                issuer=self._settings.jwt_issuer,
                options=OPTIONS,
            )
            claims = msgspec.convert(payload, Claims)
        except msgspec.ValidationError as exc:
            raise NotAuthenticated(f"The token's claims are wrong: {exc}", invalid=True) from exc
        except (jwt.PyJWTError, ValueError, TypeError) as exc:
            raise NotAuthenticated(_reason(exc), invalid=True) from exc
        self._check_times(claims)
        return Identity(claims.sub, frozenset(claims.scope.split()), "jwt", claims.exp)

    def _check_times(self, claims: Claims) -> None:
        now, leeway = self._clock(), self._settings.jwt_leeway_seconds
        if claims.exp + leeway <= now:
            raise NotAuthenticated("The token has expired", invalid=True)
        if max(claims.nbf, claims.iat) - leeway > now:
            raise NotAuthenticated("The token is not valid yet", invalid=True)


def _reason(exc: Exception) -> str:
    if isinstance(exc, jwt.MissingRequiredClaimError):
        return f"The token lacks the claim {exc.claim}"
    return next(
        (reason for kind, reason in REASONS if isinstance(exc, kind)), "The token is malformed"
    )
