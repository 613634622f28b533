"""What each method of the service does."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sidecar.errors import InvalidFields
from sidecar.open_inference.parameters import read_parameters
from sidecar.routes.health import HealthParts, is_ready
from sidecar.routes.models import ModelParts
from sidecar.routes.open_inference import repository
from sidecar.routes.open_inference.inference import InferCall, infer_tensors
from sidecar.routes.open_inference.models import TensorModelParts, model_facts, model_readiness
from sidecar.routes.open_inference.server import server_facts
from sidecar.routes.predict import PredictParts
from sidecar.rpc import open_inference_pb2 as pb
from sidecar.rpc.call import SERVICE, CallInProgress, RpcMethod
from sidecar.rpc.messages import (
    declared_tensors,
    parameters_of,
    put_outputs,
    tensor_metadata,
    wanted_outputs,
)
from sidecar.schemas.open_inference import MOST_ID_LENGTH
from sidecar.web import request_head
from sidecar.web.route import Route


@dataclass(frozen=True, slots=True)
class ServiceParts:
    """What the methods work with: the same parts as the corresponding HTTP routes."""

    health: HealthParts
    tensor_models: TensorModelParts
    predict: PredictParts
    repository: ModelParts


class OpenInferenceService:
    """The methods of `inference.GRPCInferenceService`."""

    def __init__(self, parts: ServiceParts) -> None:
        self._parts = parts

    @property
    def methods(self) -> list[RpcMethod]:
        """All methods, with who may call each."""
        open_to_all: dict[str, Any] = {"limited": False, "prompt": True}
        inference: dict[str, Any] = {"credential": "optional", "measured_as": "inference"}
        admin: dict[str, Any] = {"credential": "admin"}
        optional: dict[str, Any] = {"credential": "optional"}
        return [
            _method("ServerLive", pb.ServerLiveRequest, self._server_live, open_to_all),
            _method("ServerReady", pb.ServerReadyRequest, self._server_ready, open_to_all),
            _method("ModelReady", pb.ModelReadyRequest, self._model_ready, open_to_all),
            _method("ServerMetadata", pb.ServerMetadataRequest, self._server_metadata, {}),
            _method("ModelMetadata", pb.ModelMetadataRequest, self._model_metadata, {}),
            _method("ModelInfer", pb.ModelInferRequest, self._infer, inference),
            _method("RepositoryIndex", pb.RepositoryIndexRequest, self._index, optional),
            _method("RepositoryModelLoad", pb.RepositoryModelLoadRequest, self._load, admin),
            _method("RepositoryModelUnload", pb.RepositoryModelUnloadRequest, self._unload, admin),
        ]

    async def _server_live(self, _: CallInProgress, __: Any) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    async def _server_ready(self, _: CallInProgress, __: Any) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=await is_ready(self._parts.health))

    async def _model_ready(
        self, _: CallInProgress, asked: pb.ModelReadyRequest
    ) -> pb.ModelReadyResponse:
        found = await model_readiness(self._parts.tensor_models, asked.name, asked.version or None)
        return pb.ModelReadyResponse(ready=found.ready)

    async def _server_metadata(self, _: CallInProgress, __: Any) -> pb.ServerMetadataResponse:
        facts = server_facts()
        return pb.ServerMetadataResponse(
            name=facts.name, version=facts.version, extensions=facts.extensions
        )

    async def _model_metadata(
        self, _: CallInProgress, asked: pb.ModelMetadataRequest
    ) -> pb.ModelMetadataResponse:
        facts = await model_facts(self._parts.tensor_models, asked.name, asked.version or None)
        return pb.ModelMetadataResponse(
            name=facts.name,
            versions=facts.versions,
            platform=facts.platform,
            inputs=map(tensor_metadata, facts.inputs),
            outputs=map(tensor_metadata, facts.outputs),
        )

    async def _infer(
        self, call: CallInProgress, asked: pb.ModelInferRequest
    ) -> pb.ModelInferResponse:
        if len(asked.id) > MOST_ID_LENGTH:
            raise InvalidFields(f"expected at most {MOST_ID_LENGTH} characters", field="id")
        longest = call.admission.settings.max_timeout_seconds
        parameters = read_parameters(parameters_of(asked.parameters), longest)
        if call.seconds_left is not None:
            parameters = parameters._replace(timeout=min(parameters.timeout, call.seconds_left))
        answer = await infer_tensors(
            call.admission,
            call.inference,
            self._parts.predict,
            InferCall(
                asked.model_name,
                asked.model_version or None,
                declared_tensors(asked),
                wanted_outputs(asked.outputs),
                parameters,
                request_head.traceparent(call.head.as_request()),
            ),
        )
        response = pb.ModelInferResponse(
            model_name=asked.model_name, model_version=answer.version, id=asked.id
        )
        # Answer in the form of the request: a client that sends typed contents reads only those.
        raw = bool(asked.raw_input_contents)
        put_outputs(response, answer.outputs, raw=raw)
        return response

    async def _index(
        self, _: CallInProgress, asked: pb.RepositoryIndexRequest
    ) -> pb.RepositoryIndexResponse:
        found = repository.list_models(self._parts.repository, only_ready=asked.ready)
        return pb.RepositoryIndexResponse(
            models=[
                pb.RepositoryIndexResponse.ModelIndex(
                    name=each.name, version=each.version, state=each.state, reason=each.reason
                )
                for each in found
            ]
        )

    async def _load(
        self, _: CallInProgress, asked: pb.RepositoryModelLoadRequest
    ) -> pb.RepositoryModelLoadResponse:
        await repository.load(self._parts.repository, asked.model_name, asked.parameters)
        return pb.RepositoryModelLoadResponse()

    async def _unload(
        self, _: CallInProgress, asked: pb.RepositoryModelUnloadRequest
    ) -> pb.RepositoryModelUnloadResponse:
        await repository.unload(self._parts.repository, asked.model_name, asked.parameters)
        return pb.RepositoryModelUnloadResponse()


def _method(name: str, request: Any, run: Any, access: Mapping[str, Any]) -> RpcMethod:
    route = Route("GRPC", f"/{SERVICE}/{name}", run, name, **access)
    return RpcMethod(name, request, run, route)
