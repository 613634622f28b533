"""The base of all handlers: decode each item, run one forward pass for all, encode each answer."""

import logging
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import msgspec
import torch

from handler_kit.allocation import bound_kept_operations, keep_freed_memory
from handler_kit.choices import Choices
from handler_kit.config import HandlerConfig, Precision, parse_config
from handler_kit.device import find_device, give_back
from handler_kit.errors import (
    InvalidInput,
    ItemError,
    as_item_error,
    is_broken_device,
    is_out_of_memory,
    release_frames,
)
from handler_kit.job import Answer, Item, RunBy, Timings
from handler_kit.json_numbers import encode_rows, parse
from handler_kit.loading import Loading, LoadReport
from handler_kit.log_lines import protect_output
from handler_kit.memory import MemoryGauge
from handler_kit.options import HandlerOptions
from handler_kit.precision import Compared
from handler_kit.rows import (
    Context,
    failed,
    read_row,
    refuse_row,
    sender,
    within_limit,
    write_row,
)
from handler_kit.threads import limit_threads

log = logging.getLogger(__name__)

Input = TypeVar("Input")
Batch = TypeVar("Batch")
Outputs = TypeVar("Outputs")


class ForwardPass(NamedTuple, Generic[Batch]):
    """One pass: the indices of its inputs among those planned, and the batch for the model."""

    members: Sequence[int]
    batch: Batch


class BatchHandler(ABC, Generic[Input, Batch, Outputs]):
    """What TorchServe calls.  A subclass loads and runs its model, and decodes and plans inputs.

    Inputs that fail together are retried one by one, so that only the one at fault fails.
    """

    item_types: ClassVar[frozenset[str]] = frozenset({"json"})
    plain_type: ClassVar[str] = "json"  # the type of a body that is not a job
    precisions: frozenset[Precision] = frozenset({"fp32", "fp16", "bf16", "int8"})
    compared_as: ClassVar[Compared] = "numbers"

    config: HandlerConfig
    options: HandlerOptions
    folder: Path
    choices: Choices
    device: torch.device
    dtype: torch.dtype  # of the model's floating-point inputs
    model: Any  # the callable, compiled or not

    @abstractmethod
    def read_options(self, config: HandlerConfig) -> HandlerOptions:
        """Return the handler's own options.  Raises LoadError."""

    @abstractmethod
    def load_model(self) -> torch.nn.Module:
        """Return the model in fp32 on `device`, ready to run.  Raises LoadError."""

    @abstractmethod
    def decode(self, value: object, parameters: dict[str, Any]) -> Input:
        """Return *value* as an input.  Raises InvalidInput with a sentence for the client."""

    @abstractmethod
    def plan(self, inputs: Sequence[Input]) -> list[ForwardPass[Batch]]:
        """Return the passes for *inputs*: one for all unless their shapes or sizes forbid it."""

    @abstractmethod
    def forward(self, batch: Batch) -> Outputs:
        """Return the model's outputs on the CPU, one per member of *batch*, in order."""

    @abstractmethod
    def encode(self, outputs: Outputs) -> Sequence[Answer | ItemError]:
        """Return the answer for each output, or an error that says why there is none."""

    @abstractmethod
    def compared(self, outputs: Outputs) -> Sequence[torch.Tensor]:
        """Return the numbers by which precisions are compared, in float32, for each member.

        `compared_as` says what they are.  They lie along the last dimension.
        """

    @abstractmethod
    def samples(self, count: int) -> list[Input]:
        """Return *count* inputs for checks and warm-up; none if no input is certain to be valid."""

    def shapes(self) -> list[list[Input]]:
        """Return jobs of inputs whose shapes clients will send, but that the samples do not have.

        A compiled model runs them once while it is loaded, so that no client waits for the
        compiler.
        """
        return []

    def value_of(self, item: Item) -> object:
        """Return the argument of `decode`: the item's JSON, unless the handler takes other types.

        Raises InvalidInput.
        """
        return parse(item.body) if item.value is msgspec.UNSET else item.value

    def details(self) -> dict[str, Any]:
        """Return the facts for `describe` that only this handler has."""
        return {}

    def initialize(self, context: Context) -> None:
        """Load, check and warm up the model.  Raises LoadError, which TorchServe logs."""
        started = time.perf_counter()
        protect_output()
        keep_freed_memory()
        bound_kept_operations()
        system = context.system_properties
        self.config = parse_config(context.model_yaml_config)
        self.options = self.read_options(self.config)
        self.folder = Path(system["model_dir"])
        limit_threads(self.config.workers)
        self.choices = Choices(self.folder, msgspec.structs.asdict(self.config))
        self.device, self._device_reason = find_device(
            self.config.device,
            system.get("gpu_id"),
            in_turn="deviceIds" in (context.model_yaml_config or {}),
        )
        if self.device.type == "cuda":  # also for libraries that do not name an index
            torch.cuda.set_device(self.device)
            # By default, convolutions round fp32 to ten bits.  Answers would depend on the device
            # and on the batch, and voices would rattle audibly.
            torch.backends.cudnn.allow_tf32 = False
        self._report: LoadReport = Loading(self).run()
        protect_output()  # also for the loggers of libraries imported by the load
        self._run_by = RunBy(
            device=str(self.device),
            precision=self._report.precision,
            worker=os.getpid(),
            model_version=self.config.version,
        )
        self._memory = MemoryGauge(self.device)
        self._load_ms = _milliseconds_since(started)
        log.info("loaded %s: %s", self.config.model_key, self._report)

    def handle(self, rows: list[dict[str, Any]], context: Context) -> list[Any]:
        """Return one answer per row.  Never raises; ends the process if the device is broken."""
        try:
            if context.get_request_header(0, "describe") == "True":
                return [msgspec.json.encode(self.describe()).decode()]
            with torch.inference_mode():
                return self._answer_rows(rows, context)
        except Exception as exc:
            log.exception("a batch of %d rows failed", len(rows))
            self._recover(exc)
            return [
                refuse_row(context, idx, 500, "Internal server error") for idx in range(len(rows))
            ]

    def describe(self) -> dict[str, Any]:
        """Return what was chosen at load, for `GET /models/…?customized=true`."""
        return {
            "model_key": self.config.model_key,
            "version": self.config.version,
            "handler": type(self).__name__,
            "device": str(self.device),
            "device_reason": self._device_reason,
            "precision_requested": self.config.precision,
            **msgspec.to_builtins(self._report),
            "workers": self.config.workers,
            "max_batch_size": self.config.max_batch_size,
            "input_rank": self.config.input_rank,
            "load_ms": self._load_ms,
            "torch": str(torch.__version__),
            "worker": os.getpid(),
            "memory": msgspec.to_builtins(self._memory.read()),
            "options": msgspec.to_builtins(self.options),
            **self.details(),
        }

    def _answer_rows(self, rows: list[dict[str, Any]], context: Context) -> list[bytes]:
        requests = [read_row(row, self.plain_type) for row in rows]
        timings = Timings()
        every = iter(self._answer([i for request in requests for i in request.items], timings))
        answers = [list(islice(every, len(request.items))) for request in requests]
        limit = self.options.max_answer_bytes
        run_by = self._run_by
        if (memory := self._memory.read_if_due()) is not None:
            run_by = msgspec.structs.replace(run_by, memory=memory)
        return [
            write_row(
                context,
                idx,
                request,
                within_limit(request.items, answers[idx], limit),
                run_by,
                timings,
            )
            for idx, request in enumerate(requests)
        ]

    def _answer(self, items: Sequence[Item], timings: Timings) -> Iterator[Answer]:
        """Yield the items' answers in order.  Items that cannot be decoded do not join the pass."""
        started = time.perf_counter()
        decoded = [self._decode(item) for item in items]
        timings.decode_ms = _milliseconds_since(started)
        places = [place for place, one in enumerate(decoded) if not isinstance(one, Answer)]
        inputs = [one for one in decoded if not isinstance(one, Answer)]
        senders = [sender(items[place]) for place in places]
        inferred = iter(self._infer(inputs, senders, timings) if inputs else [])
        for one in decoded:
            yield one if isinstance(one, Answer) else next(inferred)

    def _decode(self, item: Item) -> Input | Answer:
        try:
            return self.decode(self._checked_value(item), item.parameters)
        except ItemError as exc:
            return failed(exc)
        except Exception as exc:
            log.exception("decoding an item failed: %s", sender(item))
            self._recover(exc)
            return failed(as_item_error(exc))

    def _checked_value(self, item: Item) -> object:
        if item.type not in self.item_types:
            raise InvalidInput(f"This model takes no inputs of type {item.type!r}")
        return self.value_of(item)

    def _infer(
        self, inputs: Sequence[Input], senders: Sequence[str], timings: Timings
    ) -> list[Answer]:
        """Return an answer for each of *inputs*.  *senders* identify their requests in the log."""
        answers: list[Answer | None] = [None] * len(inputs)
        try:
            for members, batch in self.plan(inputs):
                for place, answer in zip(members, self._run(batch, timings), strict=True):
                    answers[place] = answer
        except Exception as exc:
            if len(inputs) == 1:
                log.exception("an input failed on its own: %s", senders[0])
                self._recover(exc)
                return [failed(as_item_error(exc), forward_pass=1)]
            log.warning(
                "%d inputs failed together; retrying each on its own: %s",
                len(inputs),
                "; ".join(dict.fromkeys(senders)),
            )
            self._recover(exc)
        return [
            answer or self._infer([inputs[place]], [senders[place]], timings)[0]
            for place, answer in enumerate(answers)
        ]

    def _run(self, batch: Batch, timings: Timings) -> Iterator[Answer]:
        started = time.perf_counter()
        outputs = self.forward(batch)
        timings.forward_ms += _milliseconds_since(started)
        started = time.perf_counter()
        answers = self.encode(outputs)
        timings.encode_ms += _milliseconds_since(started)
        for answer in answers:
            if isinstance(answer, ItemError):
                yield failed(answer, len(answers))
            else:
                yield msgspec.structs.replace(answer, forward_pass=len(answers))

    def _recover(self, exc: Exception) -> None:
        """Free memory after running out of it; end the process if the device is broken.

        Call it after *exc* has been logged: it clears the frames of the traceback, so that the
        tensors of the pass are freed before the device's cache is.
        """
        if is_broken_device(exc):
            log.critical("the device is broken; TorchServe starts another worker", exc_info=exc)
            raise SystemExit("the device is broken") from exc
        if is_out_of_memory(exc):
            release_frames(exc)
            give_back(self.device)


class NumberHandler(BatchHandler[Input, Batch, torch.Tensor]):
    """A handler whose `forward` returns float32 or integers on the CPU, [members, …]."""

    def encode(self, outputs: torch.Tensor) -> Sequence[Answer | ItemError]:
        """Return each row as nested lists, or as a number if it has one element."""
        return [
            body if isinstance(body, ItemError) else Answer(body=body)
            for body in encode_rows(outputs)
        ]

    def compared(self, outputs: torch.Tensor) -> list[torch.Tensor]:
        """Return each row in float32."""
        return list(outputs.float())


def _milliseconds_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)
