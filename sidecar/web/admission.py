"""How a request comes in: who asks, within which limits, and whether there is room for it.

`middleware.guarded` puts the same door before every route.  A request is checked in this
order, and the first check that fails is its answer:

1.  its turn of the event loop (`turns`)
2.  what its head says of the body: its size and its encoding
3.  the credential in a header, and whether it may do this
4.  the limits of the client, as far as the head tells who that is
5.  the body, read in pieces that count for its client (`body`, `uploads`)
6.  the credential in the body, which takes the place of one in a header: 3 and 4 again
7.  the fields of the body, and the model that it names (the route)
8.  for a model (`admit_to_model`): whether the server is leaving, the model's limits, the load
    of the machine, and whether the model is there or can be woken

Whatever a request holds (its place among the concurrent requests of its client and its model) is
given back when the door closes behind it.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from aiohttp import hdrs, web
from multidict import istr

from sidecar.access.authenticator import Authenticator
from sidecar.access.identity import Identity
from sidecar.access.limits import Allowance, Limits, refuse_exceeded
from sidecar.access.rate_limiter import Quota
from sidecar.access.throttle import Load, exceeded
from sidecar.errors import Draining, InsufficientScope, NotAuthenticated, Overloaded, SidecarError
from sidecar.schemas.model_spec import ModelSpec
from sidecar.settings import Settings
from sidecar.telemetry.statistics import InferenceCall, Measurement
from sidecar.web import request_head
from sidecar.web.body_reader import (
    BodyBudget,
    check_declared,
    check_form_declared,
    is_form,
)
from sidecar.web.route import Route
from sidecar.web.turns import Turns

API_KEY = istr("X-API-Key")


class AdmittingModel(Protocol):
    """A model, as far as admission knows it."""

    spec: ModelSpec

    @property
    def loaded(self) -> bool:
        """Whether workers of it are READY."""


class AdmittingModels(Protocol):
    """All models, as far as admission knows them."""

    def require(self, name: str, *, called: str | None = None) -> AdmittingModel:
        """Return the model *name*.  Raises ModelNotFound, for what the client *called* it."""


class AdmissionRules(NamedTuple):
    """What admission asks of the requests of *route*, worked out once.

    *scope* is what a credential must allow; None: anything.  *max_bytes* bounds a JSON body.
    """

    route: Route
    scope: str | None
    is_open: bool
    needs_credential: bool
    max_bytes: int


@dataclass(slots=True, kw_only=True)
class AdmissionControl:
    """What admission goes by, and what all requests share: one for the program.

    *read_load* tells how full the machine is.  *prepare* is given a model's key and what the client
    called it; it makes sure that the model takes requests, or raises the reason why it cannot.
    *new_admission* builds the admission of one request.
    """

    settings: Settings
    authenticator: Authenticator
    limits: Limits
    bodies: BodyBudget
    turns: Turns
    measurement: Measurement
    models: AdmittingModels
    draining: asyncio.Event
    read_load: Callable[[], Load]
    prepare: Callable[[str, str], None]
    new_admission: "Callable[[AdmissionControl, web.Request, AdmissionRules], Admission]"

    def rules(self, route: Route) -> AdmissionRules:
        """Return what is asked of the requests of *route*."""
        scope, needed = route.scope, self.settings.require_authentication
        return AdmissionRules(
            route, scope, route.is_open, needed or scope is not None, route.max_bytes(self.settings)
        )


class Admission:
    """One request, from the door until its answer: a context manager.

    *max_bytes* is how large a JSON body may be, *bodies* the memory for the bodies of all requests.
    *identity* is whose credential was good, if there was one; *quota* what its client, or its
    model, may still ask.  *needs_credential*: one is required, and none has come yet.
    *field_names* has the client's names for fields that errors call otherwise: the route sets it.
    """

    __slots__ = (
        "_at_work_as",
        "_control",
        "_counted",
        "_held",
        "_rules",
        "bodies",
        "field_names",
        "identity",
        "max_bytes",
        "needs_credential",
        "quota",
        "request",
        "settings",
    )

    def __init__(
        self, control: AdmissionControl, request: web.Request, rules: AdmissionRules
    ) -> None:
        self._control = control
        self._rules = rules
        self.request = request
        self.settings = control.settings
        self.bodies = control.bodies
        self.max_bytes = rules.max_bytes
        self._counted = False  # in its client's rate
        self._at_work_as: str | None = None  # the client whose concurrency counts it
        self._held: list[str] = []  # clients and models among whose concurrent requests it counts
        self.field_names: Mapping[str, str] = {}
        self.identity: Identity | None = None
        self.quota: Quota | None = None
        self.needs_credential = False

    @property
    def takes_form(self) -> bool:
        """Whether the body may be a form with a file."""
        return bool(self._rules.route.form)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Give back what is held.

        A refusal before the client was known counts for its address: a body or a credential that
        is wrong.  It is answered with TooManyRequests where there were too many of these.
        """
        try:
            if isinstance(exc, SidecarError) and not self._counted and self._rules.route.limited:
                await self._count_client()
        finally:
            for who in self._held:
                self._control.limits.leave(who)

    @property
    def client(self) -> str:
        """Who the request is counted for, as far as is known: a subject, or else an address."""
        return self._client(self.identity)

    async def check_head(self) -> None:
        """Do the checks that need no body.

        Raises, in this order: PayloadTooLarge or UnsupportedEncoding, NotAuthenticated,
        InsufficientScope, TooManyRequests.
        """
        control, rules, route = self._control, self._rules, self._rules.route
        if not route.prompt and not control.turns.take():
            await control.turns.wait(self.client)
        if not route.limited:
            return
        if route.form and is_form(self.request):
            check_form_declared(self.request, control.settings)
        elif route.request is not None:
            check_declared(self.request, rules.max_bytes)
        headers, identity = self.request.headers, None
        authorization, api_key = headers.get(hdrs.AUTHORIZATION), headers.get(API_KEY)
        if authorization or api_key:
            identity = await control.authenticator.identify_headers(
                authorization, api_key, placeholders=route.placeholders
            )
        if identity is not None:
            await self._accept(identity)
        elif rules.is_open:
            await self._count_client()
        else:
            if control.limits.clients_limited:
                self._enter_address()
            self.needs_credential = rules.needs_credential
            if self.needs_credential and route.request is None:
                raise NotAuthenticated

    async def accept_token(self, token: str | None) -> None:
        """Check the *token* in the body; it takes the place of a credential in a header.

        Raises NotAuthenticated, InsufficientScope, TooManyRequests.
        """
        if token:
            await self._accept(await self._control.authenticator.identify_token(token))
            self.needs_credential = False
        elif self.needs_credential:
            raise NotAuthenticated
        elif self.identity is None:
            await self._count_client()

    async def admit_to_model(self, key: str, name: str) -> None:
        """Make sure that the model *key* takes this request; it may be woken for it.

        Raises Draining, TooManyRequests, Overloaded, ModelNotFound for what the client called
        *name*, ModelDownloading and NoRoom.
        """
        control = self._control
        if control.draining.is_set():
            raise Draining("the server is shutting down", retry_after=5)
        model = control.models.require(key, called=name)
        if (rule := model.spec.limits) is not None:
            allowance = Allowance.of(rule.requests_per_second, rule.burst, rule.concurrent_requests)
            await self._count(f"model:{key}", "model", allowance)
            self._hold(f"model:{key}", allowance)
        if control.limits.throttled:
            self._refuse_overload()
        if not model.loaded:  # the rare case
            control.prepare(key, name)

    def prepare(self, key: str, name: str) -> None:
        """Make sure that the model *key*, which the client called *name*, takes requests.

        Raises ModelNotFound, ModelDownloading and NoRoom.
        """
        self._control.prepare(key, name)

    async def _accept(self, identity: Identity) -> None:
        scope = self._rules.scope
        if scope is not None and not identity.has_scope(scope):
            raise InsufficientScope(scope)
        if self.identity != identity:
            self.identity = identity
            await self._count_client()

    async def _count_client(self) -> None:
        """Count this request for its client.  Raises TooManyRequests."""
        if not self._control.limits.clients_limited:
            return
        self._counted, allowance = True, self._control.limits.per_client
        who, before = self.client, self._at_work_as
        await self._count(who, "client", allowance)
        if who != before:
            self._hold(who, allowance)
            self._at_work_as = who
            if before in self._held:
                self._held.remove(before)
                self._control.limits.leave(before)

    def _enter_address(self) -> None:
        """Count this request for the address, since the body may still identify the client.

        Raises TooManyRequests.
        """
        allowance = self._control.limits.per_client
        if allowance.concurrent_requests is not None:
            self._at_work_as = self._client(None)
            self._hold(self._at_work_as, allowance)

    async def _count(self, who: str, name: str, allowance: Allowance) -> None:
        quota = await self._control.limits.take(name, allowance, who)
        if quota is not None:
            self.quota = quota
            refuse_exceeded(quota)

    def _hold(self, who: str, allowance: Allowance) -> None:
        if self._control.limits.enter(allowance, who):
            self._held.append(who)

    def _client(self, identity: Identity | None) -> str:
        forwarded = request_head.forwarded_for(self.request)
        return self._control.limits.client(identity, self.request.remote, forwarded)

    def _refuse_overload(self) -> None:
        reason = exceeded(self._control.limits.ceiling, self._control.read_load())
        if reason is not None:
            raise Overloaded(reason, retry_after=2)


ADMISSION = web.RequestKey("admission", Admission)
CALL = web.RequestKey("call", InferenceCall)
