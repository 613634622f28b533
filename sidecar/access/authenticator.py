"""Any credential → an identity.

If Authorization is given, X-API-Key is not read.  An empty header counts as absent; a wrong
credential is refused even where none is needed.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from sidecar.access.api_keys import PREFIX, ApiKeys
from sidecar.access.identity import Identity
from sidecar.access.jwt_verifier import JwtVerifier
from sidecar.access.signing_keys import signing_keys
from sidecar.errors import NotAuthenticated, SidecarError
from sidecar.settings import Settings, SettingsError

REMEMBERED = 10_000
JWT_DOTS = 2  # between the three parts of a signed JWT (RFC 7515, section 3.1)
MAX_CREDENTIAL_LENGTH = 8192  # a longer one could keep the event loop busy


class Remembered(NamedTuple):
    """A caller whose token was verified, and when to verify it again."""

    identity: Identity
    until: float


class Authenticator:
    """Checks credentials.  Verified JWTs are remembered; API keys are looked up each time."""

    def __init__(
        self,
        verifier: JwtVerifier | None,
        api_keys: ApiKeys,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._verifier = verifier
        self._api_keys = api_keys
        self._clock = clock
        # By the token itself: finding it by its (salted) hash tells an attacker nothing.
        self._remembered: OrderedDict[str, Remembered] = OrderedDict()

    async def identify_headers(
        self, authorization: str | None, api_key: str | None, *, placeholders: bool = False
    ) -> Identity | None:
        """Return who asks, by the headers Authorization and X-API-Key; None without either.

        With *placeholders*, a bearer token that cannot be a credential of this server counts as
        absent: OpenAI's clients send one whether it is needed or not.  Raises NotAuthenticated when
        the credential is wrong, Unavailable when it cannot be checked now.
        """
        if placeholders and authorization and _is_placeholder(authorization):
            authorization = None
        credential = _bearer(authorization)
        if credential is not None:
            return await self.identify_token(credential)
        return self._api_key(api_key) if api_key else None

    async def identify_token(self, token: str) -> Identity:
        """Return the caller that *token*, a JWT or an API key, identifies.

        Raises as `identify_headers`.
        """
        return self._recall(token) or await self._verify(token)

    def recall_headers(self, authorization: str | None, api_key: str | None) -> Identity | None:
        """Return who asks, where the credential is known to be good without waiting.

        None says nothing of it: `identify_headers` has to look.
        """
        try:
            credential = _bearer(authorization)
            if credential is not None:
                return self._recall(credential)
            return self._api_key(api_key) if api_key else None
        except SidecarError:
            return None

    def _recall(self, token: str) -> Identity | None:
        known = self._remembered.get(token)
        if known is None:
            return None
        if known.until <= self._clock():
            del self._remembered[token]
            return None
        self._remembered.move_to_end(token)
        return known.identity

    async def _verify(self, credential: str) -> Identity:
        if credential.startswith(PREFIX):
            return self._api_key(credential)
        if self._verifier is None:
            raise NotAuthenticated("This server takes API keys only", invalid=True)
        if len(credential) > MAX_CREDENTIAL_LENGTH:
            raise NotAuthenticated("The token is too long", invalid=True)
        identity = await self._verifier.verify(credential)
        self._remember(credential, identity, self._clock() + self._verifier.trust_seconds)
        return identity

    def _remember(self, token: str, identity: Identity, until: float) -> None:
        if identity.expires_at is not None:
            until = min(until, identity.expires_at)
        self._remembered[token] = Remembered(identity, until)
        if len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)

    def _api_key(self, key: str) -> Identity:
        if len(key) > MAX_CREDENTIAL_LENGTH:
            raise NotAuthenticated("The API key is too long", invalid=True)
        return self._api_keys.verify(key)


def _bearer(authorization: str | None) -> str | None:
    """Return the credential in an Authorization header; None without one."""
    if not authorization:
        return None
    scheme, _, credential = authorization.partition(" ")
    credential = credential.strip()
    if scheme.lower() != "bearer" or not credential:
        raise NotAuthenticated("The Authorization header must hold a Bearer token", invalid=True)
    return credential


def _is_placeholder(authorization: str) -> bool:
    """Return whether the bearer token of *authorization* is neither an API key nor a JWT."""
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    return (
        scheme.lower() == "bearer" and not token.startswith(PREFIX) and token.count(".") != JWT_DOTS
    )


def build_authenticator(
    settings: Settings, clock: Callable[[], float] = time.time
) -> Authenticator:
    """Build the authenticator that *settings* ask for; make development's secret if needed.

    Raises SettingsError: keys cannot be read, or production has no credential source.
    """
    keys = signing_keys(settings)
    api_keys = ApiKeys(settings.api_keys, clock)
    usable = [key for key in api_keys.records() if key.state(clock()) == "valid"]
    if keys is None and not usable:
        raise SettingsError(
            "production needs a credential source: set SIDECAR_JWT_SECRET, "
            "SIDECAR_JWT_PUBLIC_KEY_FILE or SIDECAR_JWT_JWKS_URL, or make an API key with "
            "scripts/token key create"
        )
    verifier = None if keys is None else JwtVerifier(keys, settings, clock)
    return Authenticator(verifier, api_keys, clock)
