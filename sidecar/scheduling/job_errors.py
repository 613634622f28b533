"""What a client is told when a job, or one of its items, failed."""

from sidecar.errors import (
    InputRefused,
    InternalError,
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
        return OutOfMemory("try fewer or smaller ones", field="inputs")
    if refusal.status in (404, 503):
        return ModelNotReady(f"no worker of {model} took the job", field="model_name")
    return WorkerDied("tried twice", field="inputs")


def item_error(item: AnswerHeader) -> SidecarError:
    """For one input that the handler refused."""
    if item.status == 400:
        return InputRefused(item.rule or item.error or "", item.field)
    if item.status == 503:
        return OutOfMemory("try fewer or smaller ones", field="inputs")
    return InternalError()
