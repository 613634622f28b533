"""What handlers are tested with: TorchServe's context, and handlers called as it calls them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch

from handler_kit.batch_handler import BatchHandler
from sidecar.scheduling import job_format as dispatcher
from tensor_handler import TensorHandler

EXAMPLE_OPTIONS = {
    "format": "eager",
    "module": "example_model",
    "class": "ExampleModel",
    "input": {"shape": [10], "fit": "pad_or_cut", "text": "hash"},
}


class FakeContext:
    """What TorchServe's context offers, as plain attributes to look at afterwards.

    Without a GPU models run in fp32 unless *config* says otherwise: "auto" is measured there, and
    may differ from run to run.
    """

    def __init__(
        self,
        model_dir: Path,
        config: dict[str, Any] | None = None,
        *,
        gpu_id: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.system_properties: dict[str, Any] = {"model_dir": str(model_dir), "gpu_id": gpu_id}
        if config and gpu_id is None:
            config = {"precision": "fp32"} | config
        self.model_yaml_config: dict[str, Any] | None = config and {"handler": config}
        self.headers = headers or {}
        self.statuses: dict[int, int] = {}
        self.phrases: dict[int, str] = {}
        self.content_types: dict[int, str] = {}

    def get_request_header(self, idx: int, key: str) -> str | None:
        return self.headers.get(key) if idx == 0 else None

    def set_response_status(self, code: int, phrase: str, idx: int) -> None:
        self.statuses[idx] = code
        self.phrases[idx] = phrase

    def set_response_content_type(self, idx: int, value: str) -> None:
        self.content_types[idx] = value


class Loaded:
    """A handler after initialize, called the two ways it can be called."""

    def __init__(self, handler: BatchHandler[Any, Any, Any], context: FakeContext) -> None:
        self.handler = handler
        self.context = context
        handler.initialize(context)

    def rows(self, *rows: dict[str, Any]) -> list[Any]:
        self.context.statuses.clear()
        return self.handler.handle(list(rows), self.context)

    def job(self, *bodies: bytes, **header: Any) -> tuple[dispatcher.JobAnswerHeader, list[bytes]]:
        answer = self.rows({"body": bytearray(job_of(*bodies, **header))})[0]
        return dispatcher.decode_answer(answer, len(bodies))

    def results(self, *values: Any) -> list[Any]:
        """Return the results of one job; every item must succeed."""
        header, bodies = self.job(*[msgspec.json.encode(value) for value in values])
        assert [item.error for item in header.items] == [None] * len(values)
        return [msgspec.json.decode(body) for body in bodies]

    def describe(self) -> dict[str, Any]:
        self.context.headers["describe"] = "True"
        answer = self.rows({})
        del self.context.headers["describe"]
        assert len(answer) == 1
        return msgspec.json.decode(answer[0], type=dict[str, Any])


def job_of(*bodies: bytes, **header: Any) -> bytes:
    items = [
        dispatcher.ItemHeader(id=str(number), length=len(body), **header)
        for number, body in enumerate(bodies)
    ]
    return dispatcher.encode_job(items, bodies)


LoadExample = Callable[..., Loaded]


def load_from(folder: Path, kind: type[TensorHandler] = TensorHandler, **config: Any) -> Loaded:
    gpu_id = config.pop("gpu_id", None)
    config = {"options": EXAMPLE_OPTIONS, "warmup_iterations": 1} | config
    return Loaded(kind(), FakeContext(folder, config, gpu_id=gpu_id))


class FaultyHandler(TensorHandler):
    """Fails when the first number of an input says so; *passes* holds the sizes it was given."""

    POISON, TOO_BIG, NOT_FINITE, BROKEN_DEVICE = 666.0, 777.0, 888.0, 999.0

    def initialize(self, context: Any) -> None:
        self.passes: list[int] = []
        super().initialize(context)
        self.passes.clear()

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        self.passes.append(len(batch))
        first = batch[:, 0]
        if (first == self.POISON).any():
            raise RuntimeError("a secret of the model")
        if (first == self.TOO_BIG).any():
            raise torch.OutOfMemoryError("CUDA out of memory")
        if (first == self.BROKEN_DEVICE).any():
            raise torch.AcceleratorError("CUDA error: device-side assert triggered")
        outputs = super().forward(batch)
        return torch.where((first == self.NOT_FINITE)[:, None], torch.nan, outputs)
