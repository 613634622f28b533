"""What an inference does, over HTTP and gRPC alike."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from sidecar.errors import InvalidFields
from sidecar.open_inference.elements import Elements, count_elements
from sidecar.open_inference.exchange import (
    Tensor,
    bodies_of,
    check_input,
    check_names,
    outputs_of,
    replies_of,
)
from sidecar.open_inference.parameters import InferParameters
from sidecar.open_inference.signature import Signature, signature_of
from sidecar.routes.predict import PredictCall, PredictParts, predicted_replies
from sidecar.scheduling.scheduler import SchedulingOptions
from sidecar.schemas.open_inference import Datatype, Parameter
from sidecar.telemetry.statistics import InferenceCall
from sidecar.web.admission import Admission
from sidecar.web.turns import LARGE_BYTES

Result = TypeVar("Result")


class DeclaredTensor(NamedTuple):
    """A tensor of a request whose elements have not been read.

    *read* takes the expected number of elements and returns them; it raises InvalidFields.
    """

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    parameters: Mapping[str, Parameter]
    size: int  # bytes, approximately
    read: Callable[[int], Elements]


class InferCall(NamedTuple):
    """A request.  *wanted* are the names of the requested outputs; if empty, all of them."""

    name: str
    version: str | None
    inputs: Sequence[DeclaredTensor]
    wanted: Sequence[str]
    parameters: InferParameters
    traceparent: str | None


class InferAnswer(NamedTuple):
    """The outputs, and the version of the model that computed them."""

    version: str
    outputs: list[Tensor]


async def infer_tensors(
    admission: Admission, call: InferenceCall, parts: PredictParts, asked: InferCall
) -> InferAnswer:
    """Run *asked*.  Raises the errors of /predict; of several failed inputs, the first's error."""
    settings = admission.settings
    model = parts.models.require(asked.name)
    signature = signature_of(model)
    check_names([each.name for each in asked.inputs], signature)
    declared = asked.inputs[0]
    _check_wanted(asked.wanted, signature)
    check_input(signature.input, model, declared, settings.max_inputs, "inputs[0]")
    count = count_elements(declared.shape, settings.max_json_values, "inputs[0]")
    elements = await beside_others(declared.size, lambda: declared.read(count))
    tensor = Tensor(declared.name, declared.datatype, declared.shape, elements, declared.parameters)
    bodies = await beside_others(
        max(declared.size, count), lambda: bodies_of(model, tensor, asked.parameters.of_model)
    )
    call.inputs = len(bodies)
    version = asked.version and await parts.versions.beside_default(model, asked.version)
    scheduling = SchedulingOptions(
        asked.parameters.priority,
        asked.parameters.timeout,
        call.arrived,
        version is not None,
        asked.traceparent,
        version,
    )
    predicted, _ = await predicted_replies(
        admission,
        PredictCall(asked.name, model, b",".join(bodies), bodies, True, scheduling),
        parts,
    )
    replies = replies_of(predicted.replies, declared.name)
    signature = signature_of(model)  # read again: a model that was just loaded has more of it
    outputs = await beside_others(
        sum(len(reply.body) for reply in replies),
        lambda: outputs_of(model, signature, asked.wanted, replies),
    )
    answered = replies[0].version or version or model.version or model.spec.version
    return InferAnswer(answered, outputs)


async def beside_others(size: int, work: Callable[[], Result]) -> Result:
    """Return the result of *work* on *size* bytes; run it in a thread if that is much.

    The work is done in steps, so that the event loop can run in between.
    """
    return work() if size <= LARGE_BYTES else await asyncio.to_thread(work)


def _check_wanted(wanted: Sequence[str], signature: Signature) -> None:
    """Raise InvalidFields for an output that the model does not have."""
    for place, name in enumerate(wanted):
        if signature.output(name) is None:
            names = " or ".join(repr(facts.name) for facts in signature.outputs)
            raise InvalidFields(f"expected {names}; got {name!r}", field=f"outputs[{place}].name")
