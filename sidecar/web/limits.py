"""What holds a request back: the limits of its client and of its model, and the machine's load."""

from aiohttp import web

from sidecar.access.identity import Identity
from sidecar.access.limits import Allowance, refuse_exceeded
from sidecar.access.throttle import Load, exceeded
from sidecar.errors import Draining, Overloaded, SidecarError
from sidecar.models.model import Model
from sidecar.models.states import MISSING
from sidecar.services import IDENTITY, SERVICES, Services
from sidecar.web import request_head
from sidecar.web.body_budget import BodyShare
from sidecar.web.middleware import HELD, QUOTA, Handler
from sidecar.web.turns import Turns

COUNTED = web.RequestKey("counted", bool)  # for its client
CLIENT = web.RequestKey("client", str)  # whose request it is at work as


async def limit_client(request: web.Request, identity: Identity | None) -> None:
    """Count this request for its client.  Raises TooManyRequests."""
    limits = request.app[SERVICES].limits
    if not limits.per_client.limited:
        return
    request[COUNTED] = True
    who = client_of(request, identity)
    await _take(request, "client", limits.per_client, who)
    before = request.get(CLIENT)
    if before != who:
        _enter(request, limits.per_client, who)
        request[CLIENT] = who
        if before is not None and before in request.get(HELD, ()):
            request[HELD].remove(before)
            limits.leave(before)


def enter_address(request: web.Request) -> None:
    """Count a request whose body may still tell whose it is as one of its address at work.

    Raises TooManyRequests.
    """
    limits = request.app[SERVICES].limits
    if limits.per_client.concurrent_requests is not None:
        who = client_of(request, None)
        _enter(request, limits.per_client, who)
        request[CLIENT] = who


def client_of(request: web.Request, identity: Identity | None) -> str:
    """Return whom the request counts for: its credential's subject, else its address."""
    limits = request.app[SERVICES].limits
    return limits.client(identity, request.remote, request_head.forwarded_for(request))


def known_client(request: web.Request) -> str:
    """Return whom the request counts for, by what is known of it so far."""
    return client_of(request, request.get(IDENTITY))


def counting_refusals(handler: Handler) -> Handler:
    """*handler*, for a route that looks at a credential.

    What it refuses before the client is known counts for the address: a wrong body, a wrong
    credential.
    """

    async def counting_handler(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except SidecarError:
            if COUNTED not in request:
                await limit_client(request, None)
            raise

    return counting_handler


def in_turn(handler: Handler, turns: Turns) -> Handler:
    """Return *handler*, which begins when it is its request's turn among those of all clients."""

    async def begin(request: web.Request) -> web.StreamResponse:
        if not turns.take():
            await turns.wait(known_client(request))
        return await handler(request)

    return begin


async def admit_to_model(request: web.Request, key: str, name: str) -> None:
    """See to it that the model *key* can take this request, or raise why not.

    Raises Draining, TooManyRequests, Overloaded, and what `prepare_model` raises.
    """
    services = request.app[SERVICES]
    if services.draining.is_set():
        raise Draining("the server is shutting down", retry_after=5)
    model = services.models[key]
    if (rule := model.spec.limits) is not None:
        allowance = Allowance.of(rule.requests_per_second, rule.burst, rule.concurrent_requests)
        await _take(request, "model", allowance, f"model:{key}")
        _enter(request, allowance, f"model:{key}")
    _refuse_overload(services)
    prepare_model(services, model, name)


def prepare_model(services: Services, model: Model, name: str) -> None:
    """See to it that *model*, which the client called *name*, takes requests; it may be woken.

    Raises ModelNotFound, ModelDownloading, and NoRoom.
    """
    if model.loaded:  # as it is for nearly every request
        return
    if model.state in MISSING:
        services.downloads.refuse_missing(model, name)
    services.operations.prepare(model, name)


def body_share(request: web.Request) -> BodyShare:
    """Return this request's share of the memory for bodies, for its client."""
    return BodyShare(request.app[SERVICES].bodies, lambda: known_client(request))


async def _take(request: web.Request, name: str, allowance: Allowance, who: str) -> None:
    quota = await request.app[SERVICES].limits.take(name, allowance, who)
    if quota is not None:
        request[QUOTA] = quota
        refuse_exceeded(quota)


def _enter(request: web.Request, allowance: Allowance, who: str) -> None:
    if request.app[SERVICES].limits.enter(allowance, who):
        request.setdefault(HELD, []).append(who)


def _refuse_overload(services: Services) -> None:
    figures = services.system.figures
    load = Load(figures.memory_percent, figures.gpus.memory_percent, services.models.queued)
    reason = exceeded(services.limits.ceiling, load)
    if reason is not None:
        raise Overloaded(reason, retry_after=2)
