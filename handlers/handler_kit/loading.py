"""From a model in fp32 to one ready to serve: precision, acceleration, warm-up.

What was only "auto" gives way where it fails, and says so; what was asked for must work.
"""

import logging
import time
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import msgspec
import torch

from handler_kit.acceleration import (
    Acceleration,
    accelerate,
    choose_acceleration,
    has_tensorrt,
    is_required,
)
from handler_kit.config import HandlerConfig, Precision
from handler_kit.device import give_back
from handler_kit.errors import LoadError, release_frames
from handler_kit.precision import (
    DTYPES,
    Compared,
    PrecisionCheck,
    check_precision,
    choose_precision,
)
from handler_kit.threads import keep_useful_threads, limit_threads

log = logging.getLogger(__name__)

CHECKED_SAMPLES = 4


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was picked.  *precision_check* is None where precision was not lowered."""

    precision: Precision
    precision_check: PrecisionCheck | None
    compile: bool
    tensorrt: bool
    warmup_ms: float
    threads: int


class Loadable(Protocol):
    """What loading needs of a handler."""

    config: HandlerConfig
    precisions: ClassVar[frozenset[Precision]]
    compared_as: ClassVar[Compared]
    device: torch.device
    dtype: torch.dtype
    model: Any

    def load_model(self) -> torch.nn.Module:
        """The model in fp32 on the device."""

    def samples(self, count: int) -> list[Any]:
        """Inputs for checks and warm-up."""

    def plan(self, inputs: Sequence[Any]) -> list[Any]:
        """The passes for *inputs*."""

    def forward(self, batch: Any) -> Any:
        """The outputs of one pass."""

    def compared(self, outputs: Any) -> Sequence[torch.Tensor]:
        """What each member's answer rests on."""


class Loading:
    """One load of *handler*'s model; sets its `model` and `dtype`."""

    def __init__(self, handler: Loadable) -> None:
        self.handler = handler
        self.config = handler.config

    @torch.inference_mode()
    def run(self) -> Report:
        """Raises LoadError, or what the model raises on its own samples."""
        self._load()
        check = self._lower_precision()
        acceleration, warmup_ms = self._warm_up()
        threads = self._threads()
        return Report(
            precision=check.precision if check and check.passed else "fp32",
            precision_check=check,
            compile=acceleration == "compile",
            tensorrt=acceleration == "tensorrt",
            warmup_ms=warmup_ms,
            threads=threads,
        )

    def _load(self) -> None:
        self.handler.dtype = torch.float32
        self.handler.model = self.handler.load_model()

    def _lower_precision(self) -> PrecisionCheck | None:
        wanted = choose_precision(self.config, self.handler.device, self.handler.precisions)
        if wanted == "fp32":
            return None
        samples = self.handler.samples(CHECKED_SAMPLES)
        if not samples:
            log.warning("no sample to check %s with, staying at fp32", wanted)
            return PrecisionCheck(wanted, None, passed=False)
        reference = self._outputs(samples)
        check = self._lowered(wanted, samples, reference)
        if not check.passed:
            log.warning("staying at fp32: %s", check)
            self._unload()
            self._load()
        give_back(self.handler.device)
        return check

    def _unload(self) -> None:
        """Free the weights, whoever refers to the model: two of it may not fit on the device."""
        self.handler.model.to("meta")
        give_back(self.handler.device)

    def _lowered(
        self, wanted: Precision, samples: list[Any], reference: list[torch.Tensor]
    ) -> PrecisionCheck:
        try:
            self.handler.dtype = DTYPES[wanted]
            self.handler.model.to(self.handler.dtype)
            lowered = self._outputs(samples)
            return check_precision(wanted, self.handler.compared_as, reference, lowered)
        except Exception as exc:
            log.warning("the model does not run in %s", wanted, exc_info=True)
            release_frames(exc)
            return PrecisionCheck(wanted, None, passed=False)

    def _warm_up(self) -> tuple[Acceleration, float]:
        """The acceleration that works, and how long the first passes took in milliseconds."""
        plain = self.handler.model
        picked = choose_acceleration(self.config, self.handler.device, has_tensorrt=has_tensorrt())
        started = time.perf_counter()
        try:
            self.handler.model = accelerate(plain, picked)
            self._iterate(at_least=0 if picked == "none" else 1)
        except Exception as exc:
            release_frames(exc)
            give_back(self.handler.device)
            if picked == "none":
                raise LoadError(f"the model fails on its own sample: {exc}") from exc
            if is_required(self.config, picked):
                raise LoadError(f"{picked} is on, but fails: {exc}") from exc
            log.warning("%s fails, running without it", picked, exc_info=True)
            picked, self.handler.model = "none", plain
            self._iterate()
        return picked, round((time.perf_counter() - started) * 1000, 3)

    def _threads(self) -> int:
        """This worker's share of the cores, or fewer where they do not help."""
        share = limit_threads(self.config.workers)
        samples = self.handler.samples(self.config.max_batch_size)
        if self.handler.device.type != "cpu" or not samples:
            return share
        return keep_useful_threads(lambda: self._outputs(samples), share)

    def _iterate(self, at_least: int = 0) -> None:
        """Warm-up passes, alone and in the largest batch: the two that differ most."""
        for size in (1, self.config.max_batch_size):
            if not (samples := self.handler.samples(size)):
                return
            for _ in range(max(self.config.warmup_iterations, at_least)):
                self._outputs(samples)

    def _outputs(self, samples: list[Any]) -> list[torch.Tensor]:
        """What the answers to *samples* rest on, pass by pass."""
        passes = self.handler.plan(samples)
        outputs = [self.handler.compared(self.handler.forward(one.batch)) for one in passes]
        return [each for one in outputs for each in one]
