"""/predictions/{name} of a model with a custom handler: the fast path (`web.fast_path`).

The request goes to TorchServe as it came, and the answer to the client as the handler made it, as
in `handler_requests`, which has the ordinary path.
"""

import re

from aiohttp import hdrs
from aiohttp.helpers import must_be_empty_body
from aiohttp.http_parser import RawRequestMessage

from sidecar.errors import InvalidFields
from sidecar.models.model import Model
from sidecar.models.registry import ModelRegistry
from sidecar.routes.handler_requests import (
    forwarded_headers,
    longest_wait,
    passed_on,
    priority_of,
    timeout_of,
)
from sidecar.scheduling.dispatcher import Dispatcher
from sidecar.scheduling.entry import Forwarded, Reply
from sidecar.settings import MB, Settings
from sidecar.torchserve.forwarding import ForwardedRequest
from sidecar.web.answer_head import whole_head
from sidecar.web.error_forms import form_of
from sidecar.web.fast_path import FastAnswer

FOLDER = "/predictions/"
_METHODS = frozenset({hdrs.METH_POST, hdrs.METH_PUT})
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]+")  # nothing is encoded, and no query follows


class ForwardedPredictions:
    """Prepares requests that ask for nothing unusual."""

    def __init__(self, settings: Settings, models: ModelRegistry) -> None:
        self._max_timeout = settings.max_timeout_seconds
        self._max_bytes = int(settings.max_body_mb * MB)
        self._models = models

    def prepare(self, message: RawRequestMessage, body: bytes) -> "ForwardedPrediction | None":
        """Return what is to be forwarded; None where the ordinary path has to look at the request.

        That is so for methods without a body, for invalid headers, for a query, for a version, and
        for a model that sleeps, has limits, or has a handler of ours.
        """
        name, headers = message.path.removeprefix(FOLDER), message.headers
        if message.method not in _METHODS or len(body) > self._max_bytes:
            return None
        if not _PLAIN_NAME.fullmatch(name):
            return None
        model = self._models.find(name)
        if model is None or not model.forwards or not model.loaded:
            return None
        try:
            longest = longest_wait(model, self._max_timeout)
            priority, timeout = priority_of(headers), timeout_of(headers, longest)
        except InvalidFields:
            return None
        request = ForwardedRequest(f"{FOLDER}{model.key}", forwarded_headers(headers), body)
        return ForwardedPrediction(model, request, priority, timeout)


class ForwardedPrediction:
    """One request for one model."""

    __slots__ = ("_model", "body", "priority", "timeout")

    route = f"{FOLDER}{{name}}"
    error_form = form_of(FOLDER)
    alone = False

    def __init__(
        self, model: Model, request: ForwardedRequest, priority: float, timeout: float
    ) -> None:
        self._model = model
        self.body = request
        self.priority = priority
        self.timeout = timeout

    @property
    def dispatcher(self) -> Dispatcher:
        """What takes the request."""
        return self._model.dispatcher

    def write(
        self,
        reply: Reply,
        seconds: float,  # noqa: ARG002 - the handler's answer does not tell
        request_id: str,
        *,
        close: bool,
    ) -> FastAnswer:
        """Return the handler's answer.  *close*: no other follows on the connection."""
        assert isinstance(reply, Forwarded), "an own model's runner answers so"
        body, pieces, framing = reply.body, reply.pieces, f"Content-Length: {len(reply.body)}\r\n"
        if must_be_empty_body("POST", reply.status):
            if pieces is not None:
                pieces.leave()
            body, pieces, framing = b"", None, ""
        elif pieces is not None:
            framing = "Transfer-Encoding: chunked\r\n"
        headers = passed_on(reply.headers)
        head = whole_head(reply.status, reply.reason, headers, framing, request_id, close=close)
        return FastAnswer(reply.status, len(body), head + body, pieces)
