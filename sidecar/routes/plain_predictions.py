"""POST /predict with one input for a model that is loaded: the fast path (`web.fast_path`)."""

import functools

import msgspec
from aiohttp import hdrs
from aiohttp.http_parser import RawRequestMessage

from sidecar.errors import InvalidFields
from sidecar.models.model import Model
from sidecar.models.registry import ModelRegistry
from sidecar.routes.inputs import split_inputs
from sidecar.scheduling.dispatcher import Dispatcher
from sidecar.scheduling.entry import Body, Reply
from sidecar.schemas.predict import BatchInfo, ModelInfo, PredictRequest
from sidecar.settings import MB, Settings
from sidecar.web.answer_head import json_head
from sidecar.web.body import NOT_JSON
from sidecar.web.error_forms import OWN
from sidecar.web.fast_path import FastAnswer

_request = msgspec.json.Decoder(PredictRequest)
_encode = msgspec.json.Encoder().encode


class PlainPredictions:
    """Prepares bodies of /predict that ask for nothing unusual."""

    def __init__(self, settings: Settings, models: ModelRegistry) -> None:
        self._max_timeout = settings.max_timeout_seconds
        self._max_bytes = int(settings.max_body_mb * MB)
        self._max_inputs = settings.max_inputs
        self._models = models

    def prepare(self, message: RawRequestMessage, body: bytes) -> "PlainPrediction | None":
        """Return what is to be run; None where the ordinary path has to look at *body*.

        That is so for other methods than POST, for invalid requests, for batches, for a token in
        the body, for a version, and for a model that sleeps, has limits or kept results, speaks,
        listens, or has a custom handler.
        """
        if message.method != hdrs.METH_POST or len(body) > self._max_bytes:
            return None
        try:
            asked = _request.decode(body)
        except NOT_JSON:
            return None
        if asked.token or asked.version is not None or asked.timeout > self._max_timeout:
            return None
        model = self._models.find(asked.model_name)
        if model is None or not model.plain or not model.loaded:
            return None
        inputs = bytes(asked.inputs)
        try:
            bodies, is_batch = split_inputs(
                inputs, rank=model.spec.input_rank, limit=self._max_inputs
            )
        except InvalidFields:
            return None
        return None if is_batch else PlainPrediction(asked, model, bodies[0])


class PlainPrediction:
    """One input for one model."""

    __slots__ = ("_model", "_name", "alone", "body", "priority", "timeout")

    route = "/predict"
    error_form = OWN

    def __init__(self, asked: PredictRequest, model: Model, body: Body) -> None:
        self._name = asked.model_name
        self._model = model
        self.body = body
        self.priority = asked.priority
        self.timeout = asked.timeout
        self.alone = not asked.enable_batching

    @property
    def dispatcher(self) -> Dispatcher:
        """What takes the input."""
        return self._model.dispatcher

    def write(self, reply: Reply, seconds: float, request_id: str, *, close: bool) -> FastAnswer:
        """Return the answer, *seconds* after the request's arrival.

        *close*: no other answer follows on the connection.
        """
        model = self._model
        ending = _ending(
            self._name,
            reply.device,
            reply.version or model.version or model.spec.version,
            alone=self.alone,
            batches=model.spec.inference.max_batch_size > 1,
            shared=reply.forward_pass > 1,
        )
        body = b'{"success":true,"result":%b,"processing_time":%.6f,%b' % (
            reply.body,
            seconds,
            ending,
        )
        size = len(body)
        return FastAnswer(200, size, json_head(200, size, request_id, close=close) + body)


@functools.lru_cache(maxsize=1024)
def _ending(
    name: str, device: str, version: str, *, alone: bool, batches: bool, shared: bool
) -> bytes:
    """Return the end of an answer's JSON, which is the same for most requests to a model."""
    info = ModelInfo(name, device, "single", 1, version, "direct" if alone else "optimized")
    batch = BatchInfo(
        inflight_batching_enabled=not alone and batches,
        processed_as_batch=shared,
        concurrent_optimization=False,
    )
    return b'"model_info":%b,"batch_info":%b}' % (_encode(info), _encode(batch))
