"""Who sent this request, and whether they may do what it asks.

A credential in a header is checked before the body is read, and so are the limits of its
client.  A good token in the body then takes the header's place.
"""

from aiohttp import hdrs, web
from multidict import istr

from sidecar.access.identity import Identity
from sidecar.errors import InsufficientScope, NotAuthenticated
from sidecar.services import IDENTITY, SERVICES
from sidecar.web.limits import enter_address, limit_client
from sidecar.web.middleware import Handler

API_KEY = istr("X-API-Key")


async def check_headers(request: web.Request, scope: str | None = None) -> bool:
    """Check the credential in the headers, and count the request for its client.

    Return whether a credential is needed and none was there: it has to come in the body.
    *scope* is what the caller needs; None where no credential is needed unless the settings
    require one.  Raises NotAuthenticated, InsufficientScope, TooManyRequests.
    """
    services = request.app[SERVICES]
    identity = await _identify(request)
    if identity is None:
        enter_address(request)
        return scope is not None or services.settings.require_authentication
    await _accept(request, identity, scope)
    return False


async def check_token(request: web.Request, token: str | None, scope: str | None = None) -> None:
    """Check the *token* that the body holds; it takes the place of a credential in the headers.

    Raises what `check_headers` raises.
    """
    services = request.app[SERVICES]
    if token:
        await _accept(request, await services.authenticator.identify_token(token), scope)
    elif IDENTITY not in request:
        if scope is not None or services.settings.require_authentication:
            raise NotAuthenticated
        await limit_client(request, None)


async def require_scope(request: web.Request, scope: str) -> Identity:
    """Return the caller of a request without a body.  Raises what `check_headers` raises."""
    if await check_headers(request, scope):
        raise NotAuthenticated
    return request[IDENTITY]


def reading(handler: Handler) -> Handler:
    """Return *handler* for a route that answers everybody, but no credential that is wrong.

    Who has a good one is the client that the request counts for, else the address is.
    """

    async def reading_handler(request: web.Request) -> web.StreamResponse:
        identity = await _identify(request)
        if identity is not None:
            request[IDENTITY] = identity
        await limit_client(request, identity)
        return await handler(request)

    return reading_handler


async def _identify(request: web.Request) -> Identity | None:
    return await request.app[SERVICES].authenticator.identify_headers(
        request.headers.get(hdrs.AUTHORIZATION), request.headers.get(API_KEY)
    )


async def _accept(request: web.Request, identity: Identity, scope: str | None) -> None:
    if scope is not None and not identity.has_scope(scope):
        raise InsufficientScope(scope)
    if request.get(IDENTITY) != identity:
        request[IDENTITY] = identity
        await limit_client(request, identity)
