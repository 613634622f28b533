"""Any credential → an identity.

A body token makes the headers unread; of the headers, Authorization goes before X-API-Key.
A credential that is there and wrong is refused, also where none is needed.
"""

import time
from collections import OrderedDict
from collections.abc import Callable

from sidecar.access.api_keys import PREFIX, ApiKeys
from sidecar.access.identity import Identity
from sidecar.access.jwt_verifier import JwtVerifier
from sidecar.access.signing_keys import signing_keys
from sidecar.errors import NotAuthenticated
from sidecar.settings import Settings, SettingsError

REMEMBERED = 10_000


class Authenticator:
    """Checks credentials; good JWTs are remembered until they expire."""

    def __init__(
        self,
        verifier: JwtVerifier | None,
        api_keys: ApiKeys,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._verifier = verifier
        self._api_keys = api_keys
        self._clock = clock
        self._remembered: OrderedDict[str, Identity] = OrderedDict()

    async def identify(
        self, body_token: str | None, authorization: str | None, api_key: str | None
    ) -> Identity | None:
        """Who asks: None without a credential.  Raises NotAuthenticated when it is wrong.

        *authorization* and *api_key* are the values of the headers Authorization and
        X-API-Key.  Empty values count as absent.
        """
        if body_token:
            return await self._check(body_token)
        if authorization:
            scheme, _, credential = authorization.partition(" ")
            if scheme.lower() != "bearer" or not credential.strip():
                raise NotAuthenticated("The Authorization header must be a Bearer", invalid=True)
            return await self._check(credential.strip())
        if api_key:
            return self._api_keys.verify(api_key)
        return None

    async def _check(self, credential: str) -> Identity:
        if credential.startswith(PREFIX):
            return self._api_keys.verify(credential)
        known = self._remembered.get(credential)
        if known is not None and known.expires_at is not None:
            if self._clock() < known.expires_at:
                return known
            del self._remembered[credential]
        if self._verifier is None:
            raise NotAuthenticated("This server takes API keys only", invalid=True)
        identity = await self._verifier.verify(credential)
        self._remembered[credential] = identity
        if len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)
        return identity


def build_authenticator(settings: Settings) -> Authenticator:
    """The authenticator that *settings* ask for.

    Raises SettingsError: keys cannot be read, or production has no credential source.
    """
    keys = signing_keys(settings)
    api_keys = ApiKeys(settings.api_keys)
    if keys is None and not api_keys.records():
        raise SettingsError(
            "production needs a credential source: set SIDECAR_JWT_SECRET, "
            "SIDECAR_JWT_PUBLIC_KEY_FILE or SIDECAR_JWT_JWKS_URL, or make an API key with "
            "scripts/token key create"
        )
    verifier = None if keys is None else JwtVerifier(keys, settings)
    return Authenticator(verifier, api_keys)
