"""Who sent this request."""

from aiohttp import hdrs, web
from multidict import istr

from sidecar.access.identity import Identity
from sidecar.errors import InsufficientScope, NotAuthenticated
from sidecar.routes.limits import limit_client
from sidecar.services import IDENTITY, SERVICES

API_KEY = istr("X-API-Key")


async def identify(request: web.Request, body_token: str | None = None) -> Identity | None:
    """The caller; None without a credential.  Raises NotAuthenticated when it is wrong."""
    headers = request.headers
    identity = await request.app[SERVICES].authenticator.identify(
        body_token, headers.get(hdrs.AUTHORIZATION), headers.get(API_KEY)
    )
    if identity is not None:
        request[IDENTITY] = identity
    return identity


async def admit(request: web.Request, body_token: str | None) -> None:
    """For routes where a credential is optional.

    Raises NotAuthenticated for a wrong one, and for none where the settings require one;
    TooManyRequests.
    """
    identity = await identify(request, body_token)
    if identity is None and request.app[SERVICES].settings.require_authentication:
        raise NotAuthenticated
    await limit_client(request, identity)


async def require_scope(
    request: web.Request, scope: str, body_token: str | None = None
) -> Identity:
    """The caller.

    Raises NotAuthenticated or InsufficientScope unless the credential has *scope*;
    TooManyRequests.
    """
    identity = await identify(request, body_token)
    if identity is None:
        raise NotAuthenticated
    if not identity.has_scope(scope):
        raise InsufficientScope(scope)
    await limit_client(request, identity)
    return identity
