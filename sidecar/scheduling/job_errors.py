"""What a client is told when a job, or one of its items, failed."""

from sidecar.errors import (
    InternalError,
    InvalidInput,
    ModelNotReady,
    OutOfMemory,
    SidecarError,
    WorkerDied,
)
from sidecar.scheduling.job import AnswerHeader
from sidecar.torchserve.client import EngineRefused


def job_error(model: str, refusal: EngineRefused) -> SidecarError:
    """For each input of a job that TorchServe refused, unless its next try is answered."""
    if refusal.status == 507:
        return OutOfMemory("inputs: try fewer or smaller ones")
    if refusal.status in (404, 503):
        return ModelNotReady(f"model_name: no worker of {model} took the job")
    return WorkerDied("inputs: tried twice")


def item_error(item: AnswerHeader) -> SidecarError:
    """For one input that the handler refused."""
    if item.status == 400:
        return InvalidInput(f"inputs: {item.error}")
    if item.status == 503:
        return OutOfMemory("inputs: try fewer or smaller ones")
    return InternalError()
