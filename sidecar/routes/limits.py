"""What holds a request back: the limits of its client and of its model, and the machine's load."""

from collections.abc import Awaitable, Callable

from aiohttp import web
from multidict import istr

from sidecar.access.identity import Identity
from sidecar.access.limits import Allowance, refuse_exceeded
from sidecar.access.throttle import Load, exceeded
from sidecar.errors import Draining, Overloaded, SidecarError
from sidecar.middleware import HELD, QUOTA
from sidecar.services import SERVICES, Services

FORWARDED_FOR = istr("X-Forwarded-For")
COUNTED = web.RequestKey("counted", bool)  # for its client
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def limit_client(request: web.Request, identity: Identity | None) -> None:
    """Counts this request for its client.  Raises TooManyRequests."""
    limits = request.app[SERVICES].limits
    if limits.per_client.limited:
        request[COUNTED] = True
        forwarded = ",".join(request.headers.getall(FORWARDED_FOR, ()))  # some add a line each
        who = limits.client(identity, request.remote, forwarded)
        await _limit(request, "client", limits.per_client, who)


def limited(handler: Handler) -> Handler:
    """*handler*, for a route that looks at no credential: its clients are addresses."""

    async def limited_handler(request: web.Request) -> web.StreamResponse:
        await limit_client(request, None)
        return await handler(request)

    return limited_handler


def counting_refusals(handler: Handler) -> Handler:
    """*handler*, for a route that looks at a credential.

    What it refuses before the client is known counts for the address: a wrong body, a wrong
    credential.
    """

    async def counting_handler(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except (SidecarError, web.HTTPRequestEntityTooLarge):
            if COUNTED not in request:
                await limit_client(request, None)
            raise

    return counting_handler


async def admit_to_model(request: web.Request, key: str, name: str) -> None:
    """Sees to it that the model *key* can take this request, or raises why not.

    Raises Draining, TooManyRequests, Overloaded, and what the loader raises.
    """
    services = request.app[SERVICES]
    if services.draining.is_set():
        raise Draining("the server is shutting down", retry_after=5)
    if (rule := services.catalog[key].limits) is not None:
        allowance = Allowance.of(rule.requests_per_second, rule.burst, rule.concurrent_requests)
        await _limit(request, "model", allowance, f"model:{key}")
    _refuse_overload(services)
    services.loader.require(key, name)


async def _limit(request: web.Request, name: str, allowance: Allowance, who: str) -> None:
    limits = request.app[SERVICES].limits
    quota = await limits.take(name, allowance, who)
    if quota is not None:
        request[QUOTA] = quota
        refuse_exceeded(quota)
    if limits.enter(allowance, who):
        request.setdefault(HELD, []).append(who)


def _refuse_overload(services: Services) -> None:
    figures = services.system.figures
    load = Load(figures.memory_percent, figures.gpus.memory_percent, services.scheduler.queued)
    reason = exceeded(services.limits.ceiling, load)
    if reason is not None:
        raise Overloaded(reason, retry_after=2)
