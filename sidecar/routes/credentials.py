"""Who sent this request."""

from aiohttp import hdrs, web
from multidict import istr

from sidecar.access.identity import Identity
from sidecar.errors import InsufficientScope, NotAuthenticated
from sidecar.services import SERVICES

API_KEY = istr("X-API-Key")


async def identify(request: web.Request, body_token: str | None = None) -> Identity | None:
    """The caller; None without a credential.  Raises NotAuthenticated when it is wrong."""
    headers = request.headers
    return await request.app[SERVICES].authenticator.identify(
        body_token, headers.get(hdrs.AUTHORIZATION), headers.get(API_KEY)
    )


async def admit(request: web.Request, body_token: str | None) -> None:
    """For routes where a credential is optional.

    Raises NotAuthenticated for a wrong one, and for none where the settings require one.
    """
    identity = await identify(request, body_token)
    if identity is None and request.app[SERVICES].settings.require_authentication:
        raise NotAuthenticated


async def require_scope(request: web.Request, scope: str, body_token: str | None = None) -> None:
    """Raises NotAuthenticated or InsufficientScope unless the credential has *scope*."""
    identity = await identify(request, body_token)
    if identity is None:
        raise NotAuthenticated
    if not identity.has_scope(scope):
        raise InsufficientScope(scope)
