"""Makes a model in fp32 ready to serve: precision, acceleration, warm-up.

An option set to "auto" is dropped with a warning if it fails; one set to "on" must work.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Protocol

import msgspec
import torch

from handler_kit.acceleration import (
    Accelerated,
    Acceleration,
    choose_acceleration,
    has_tensorrt,
    is_required,
    run_within,
)
from handler_kit.choices import Choices
from handler_kit.config import HandlerConfig, Precision
from handler_kit.device import give_back
from handler_kit.errors import LoadError, is_out_of_memory, release_frames
from handler_kit.lowering import Lowering
from handler_kit.precision import Compared, PrecisionCheck
from handler_kit.threads import keep_useful_threads, limit_threads

log = logging.getLogger(__name__)

COMPILING_PART = 0.6  # of the startup timeout, after which TorchServe kills a worker


class LoadReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was chosen.  *precision_check* is None if no lower precision was tried."""

    precision: Precision
    precision_check: PrecisionCheck | None
    compile: bool
    tensorrt: bool
    warmup_ms: float
    threads: int


class Loadable(Protocol):
    """The part of a handler that loading uses."""

    config: HandlerConfig
    choices: Choices
    precisions: frozenset[Precision]
    compared_as: ClassVar[Compared]
    device: torch.device
    dtype: torch.dtype
    model: Any

    def load_model(self) -> torch.nn.Module:
        """Return the model in fp32 on the device."""

    def samples(self, count: int) -> list[Any]:
        """Return inputs for checks and warm-up."""

    def shapes(self) -> list[list[Any]]:
        """Return jobs of inputs whose shapes the samples do not have."""

    def plan(self, inputs: Sequence[Any]) -> list[Any]:
        """Return the passes for *inputs*."""

    def forward(self, batch: Any) -> Any:
        """Return the outputs of one pass."""

    def compared(self, outputs: Any) -> Sequence[torch.Tensor]:
        """Return the numbers by which precisions are compared, for each member."""


@contextmanager
def _own_samples() -> Iterator[None]:
    """Turn an exception of the model on its own samples into a LoadError."""
    try:
        yield
    except LoadError:
        raise
    except Exception as exc:
        raise LoadError(f"the model fails on its own samples: {exc}") from exc


class Loading:
    """Loads *handler*'s model once, and sets the handler's `model` and `dtype`."""

    def __init__(self, handler: Loadable) -> None:
        self.handler = handler
        self.config = handler.config
        self._began = time.monotonic()
        self._is_wake = False  # whether this machine has loaded and tried the same model before

    @torch.inference_mode()
    def run(self) -> LoadReport:
        """Load the model and return what was chosen.

        Raises LoadError, or what the model raises on its own samples.
        """
        lowering = Lowering(self.handler, self._outputs)
        lowering.run()
        threads = self._threads()  # first, since compiled code depends on the number of threads
        acceleration, warmup_ms = self._warm_up()
        return LoadReport(
            precision=lowering.precision,
            precision_check=lowering.check,
            compile=acceleration == "compile",
            tensorrt=acceleration == "tensorrt",
            warmup_ms=warmup_ms,
            threads=threads,
        )

    def _warm_up(self) -> tuple[Acceleration, float]:
        """Return the acceleration that works, and the time of the first passes in milliseconds."""
        picked = choose_acceleration(self.config, self.handler.device, has_tensorrt=has_tensorrt())
        started = time.perf_counter()
        if picked != "none":
            picked = self._accelerate(picked)
        if picked == "none":
            warmups = self.config.warmup_iterations
            with _own_samples():
                self._iterate(min(warmups, 1) if self._is_wake else warmups)
        return picked, round((time.perf_counter() - started) * 1000, 3)

    def _accelerate(self, picked: Acceleration) -> Acceleration:
        """Return *picked* if it works in time and compiles anything, else "none".

        Raises LoadError if it is required and fails.
        """
        plain = self.handler.model
        accelerated = self.handler.model = Accelerated(plain, picked)
        left = COMPILING_PART * self.config.startup_timeout_seconds - self._seconds()
        iterations = max(self.config.warmup_iterations, 1)
        failure = run_within(left, lambda: self._iterate(iterations, while_model=accelerated))
        if failure is None and accelerated.graphs:
            accelerated.settle()
            return picked
        accelerated.give_up()
        self.handler.model = plain
        if failure is None:
            log.warning("%s: no part of the model can be compiled, or it has no samples", picked)
            return "none"
        if is_required(self.config, picked):
            raise LoadError(f"{picked}: is on, but fails: {failure}") from failure
        log.warning("%s fails; running without it", picked, exc_info=failure)
        release_frames(failure)
        give_back(self.handler.device)
        return "none"

    def _seconds(self) -> float:
        """Return the seconds since the load began."""
        return time.monotonic() - self._began

    def _threads(self) -> int:
        """Return the worker's share of the cores, or 1 if more threads do not help."""
        share = limit_threads(self.config.workers)
        samples = self.handler.samples(self.config.max_batch_size)
        if self.handler.device.type != "cpu" or not samples:
            return share
        kept = self.handler.choices.recall("threads", int)
        self._is_wake = kept is not None
        if kept is not None:
            torch.set_num_threads(kept)
            return kept
        with _own_samples():
            self._outputs(samples)  # the first pass is slower than the others
        threads = keep_useful_threads(lambda: self._outputs(samples), share)
        self.handler.choices.keep("threads", threads)
        return threads

    def _iterate(self, iterations: int, while_model: object = None) -> None:
        """Run warm-up passes with one input and with the largest batch, which differ the most.

        With *while_model*, also run all shapes worth compiling, as long as it is the handler's
        model.  At a wake a client is waiting, so a single input is run once: the largest batch is
        known to work.
        """
        sizes = (1,) if self._is_wake and while_model is None else (1, self.config.max_batch_size)
        inputs = [self.handler.samples(size) for size in sizes]
        if while_model is not None:
            inputs += self.handler.shapes()
        for samples in inputs:
            for _ in range(iterations if samples else 0):
                if while_model is None or self.handler.model is while_model:
                    self._try(samples)

    def _try(self, samples: list[Any]) -> None:
        """Run *samples*.  A batch too large for the device is no failure: its inputs are split."""
        try:
            self._outputs(samples)
        except Exception as exc:
            if len(samples) == 1 or not is_out_of_memory(exc):
                raise
            log.warning("a batch of %d is too large for %s", len(samples), self.handler.device)
            release_frames(exc)
            give_back(self.handler.device)

    def _outputs(self, samples: list[Any]) -> list[torch.Tensor]:
        """Return the compared numbers of *samples*, pass by pass."""
        passes = self.handler.plan(samples)
        outputs = [self.handler.compared(self.handler.forward(one.batch)) for one in passes]
        return [each for one in outputs for each in one]
