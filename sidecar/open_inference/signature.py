"""Which tensors a model takes and returns.  A dimension that is not known is -1."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sidecar.models.model import Model
from sidecar.open_inference.datatypes import BYTES
from sidecar.schemas.open_inference import Datatype, TensorFacts

ANY = -1  # a dimension whose size varies or is not known
_FP32: Final = "FP32"
_DATATYPES: Mapping[str, Datatype] = {"float32": _FP32, "int64": "INT64"}


class Signature(NamedTuple):
    """The one input of a model, and its outputs.

    The first dimension of each is the number of inputs in the request.
    """

    input: TensorFacts
    outputs: tuple[TensorFacts, ...]

    def output(self, name: str) -> TensorFacts | None:
        """Return the output called *name*."""
        return next((each for each in self.outputs if each.name == name), None)


def _texts(name: str) -> TensorFacts:
    return TensorFacts(name, BYTES, (ANY,))


_LABELS = (TensorFacts("label", BYTES, (ANY, ANY)), TensorFacts("score", _FP32, (ANY, ANY)))
_JSON = (_texts("result"),)
_WRITTEN = (_texts("generated_text"),)
_FIXED: Mapping[str, Signature] = {
    "text_classification": Signature(_texts("text"), _LABELS),
    "zero_shot_classification": Signature(_texts("text"), _LABELS),
    "image_classification": Signature(_texts("image"), _LABELS),
    "text_generation": Signature(_texts("text"), _WRITTEN),
    "summarization": Signature(_texts("text"), _WRITTEN),
    "text2text_generation": Signature(_texts("text"), _WRITTEN),
    "token_classification": Signature(_texts("text"), _JSON),
    "fill_mask": Signature(_texts("text"), _JSON),
    "speech_synthesis": Signature(
        _texts("text"), (_texts("audio"), TensorFacts("sample_rate", "INT32", (ANY,)))
    ),
    "speech_recognition": Signature(_texts("audio"), (_texts("text"), _texts("result"))),
    "voice_activity": Signature(_texts("audio"), _JSON),
    "own": Signature(_texts("body"), (_texts("body"),)),
}
_AS_PREDICT_HAS_IT = Signature(_texts("input"), _JSON)


def signature_of(model: Model) -> Signature:
    """Return the tensors of *model*.

    A task that has no tensors of its own takes and returns the JSON of /predict.
    """
    task = model.spec.task
    if task == "tensor":
        return Signature(_tensor_input(model), (_told(model, "output"),))
    if task == "embedding":
        return Signature(_texts("text"), (_told(model, "embedding"),))
    return _FIXED.get(task, _AS_PREDICT_HAS_IT)


def _tensor_input(model: Model) -> TensorFacts:
    options: Mapping[str, Any] = model.spec.handler_options.get("input", {})
    shape = options.get("shape") or [ANY] * model.spec.input_rank
    return TensorFacts("input", _DATATYPES[options.get("dtype", "float32")], (ANY, *shape))


def _told(model: Model, name: str) -> TensorFacts:
    """Return an output of numbers as its handler describes it once the model has been loaded."""
    told = model.output
    if told is None:
        return TensorFacts(name, _FP32, (ANY, ANY))
    return TensorFacts(name, _DATATYPES[told.dtype], (ANY, *told.shape))
