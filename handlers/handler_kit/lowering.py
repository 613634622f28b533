"""Converts a model from fp32 to the precision that it is served in."""

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import torch

from handler_kit.config import Precision
from handler_kit.device import give_back
from handler_kit.errors import release_frames
from handler_kit.int8 import Quantized
from handler_kit.own_form import OwnForm, has_own_form
from handler_kit.precision import (
    DTYPES,
    MIN_VECTOR_COSINE,
    PrecisionCheck,
    check_precision,
    precisions_to_try,
)

if TYPE_CHECKING:
    from handler_kit.loading import Loadable

log = logging.getLogger(__name__)

CHECKED_SAMPLES = 4
MIN_SPEEDUP = 1.1  # below it, fp32 is kept, which is more exact
TIMED_RUNS = 3
ENOUGH_SECONDS = 0.3  # of processor time for one precision, after which no further run is timed

Outputs = Callable[[list[Any]], list[torch.Tensor]]


class _Choice(msgspec.Struct):
    """The outcome of a load."""

    precision: Precision
    check: PrecisionCheck


class Lowering:
    """Loads *handler*'s model, and lowers its precision if that is configured or faster.

    *outputs* runs samples.  A configured precision, or "auto" on a GPU, is used if its results are
    close enough to fp32.  With "auto" on a CPU it must also prove faster in a measurement, whose
    outcome is stored in the handler's choices.
    """

    def __init__(self, handler: "Loadable", outputs: Outputs) -> None:
        self.precision: Precision = "fp32"
        self.check: PrecisionCheck | None = None
        self._handler = handler
        self._outputs = outputs
        self._changed: Quantized | OwnForm | None = None

    def run(self) -> None:
        """Set the handler's model and dtype.  Raises LoadError."""
        self._load()
        handler = self._handler
        wanted = precisions_to_try(
            handler.config, handler.device, handler.precisions, handler.compared_as
        )
        if not wanted:
            return
        samples = handler.samples(CHECKED_SAMPLES)
        if not samples:
            level = logging.INFO if handler.config.precision == "auto" else logging.WARNING
            log.log(level, "no samples to check %s with; staying at fp32", " or ".join(wanted))
            self.check = PrecisionCheck(wanted[0], None, passed=False)
        elif handler.config.precision == "auto" and handler.device.type == "cpu":
            self._take_the_fastest(wanted, samples)
        else:
            self.check = self._checked(wanted[0], samples, self._outputs(samples))
            if not self.check.passed:
                log.warning("staying at fp32: %s", self.check)
                self._become("fp32")
        give_back(handler.device)

    def _take_the_fastest(self, wanted: tuple[Precision, ...], samples: list[Any]) -> None:
        kept = self._handler.choices.recall("precision", _Choice)
        if kept is None:
            kept = self._try_all(wanted, samples)
            self._handler.choices.keep("precision", kept)
        self.check = kept.check
        self._become(kept.precision)

    def _try_all(self, wanted: tuple[Precision, ...], samples: list[Any]) -> _Choice:
        """Return the fastest that is close to fp32, or fp32 with the check of the fastest."""
        batch = self._handler.samples(self._handler.config.max_batch_size)
        reference = self._outputs(samples)
        seconds = self._seconds(batch)
        best: _Choice | None = None
        for precision in wanted:
            check = self._checked(precision, samples, reference)
            if check.passed and (check.cosine or 0.0) >= MIN_VECTOR_COSINE:
                speedup = round(seconds / self._seconds(batch), 2)
                check = msgspec.structs.replace(check, speedup=speedup)
            log.info("tried: %s", check)
            pays = (check.speedup or 0.0) >= MIN_SPEEDUP
            choice = _Choice(precision if pays else "fp32", check)
            if best is None or (check.speedup or 0.0) > (best.check.speedup or 0.0):
                best = choice
        assert best is not None
        return best

    def _checked(
        self, precision: Precision, samples: list[Any], reference: list[torch.Tensor]
    ) -> PrecisionCheck:
        try:
            self._become(precision)
            if isinstance(self._changed, Quantized) and not len(self._changed):
                return PrecisionCheck(
                    precision, None, passed=False
                )  # the model has no linear layers
            lowered = self._outputs(samples)
            return check_precision(precision, self._handler.compared_as, reference, lowered)
        except Exception as exc:
            log.warning("the model does not run in %s", precision, exc_info=True)
            release_frames(exc)
            return PrecisionCheck(precision, None, passed=False)

    def _become(self, precision: Precision) -> None:
        """Convert the model, whatever its present precision, to *precision*."""
        if precision == self.precision:
            return
        if self._changed is not None:
            self._changed.undo()
            self._changed = None
        elif self.precision != "fp32":
            self._unload()
            self._load()
        self.precision = precision
        if has_own_form(self._handler.model, precision):
            self._changed = OwnForm(self._handler.model, precision)
        elif precision == "int8":
            self._changed = Quantized(self._handler.model)
        elif precision != "fp32":
            self._handler.dtype = DTYPES[precision]
            self._handler.model.to(self._handler.dtype)

    def _load(self) -> None:
        self._handler.dtype = torch.float32
        self._handler.model = self._handler.load_model()

    def _unload(self) -> None:
        """Free the weights even if the model is still referenced: two copies may not fit."""
        self._handler.model.to("meta")
        give_back(self._handler.device)

    def _seconds(self, batch: list[Any]) -> float:
        """Return the least processor time for *batch*, which other processes affect little."""
        durations: list[float] = []
        while len(durations) < TIMED_RUNS and sum(durations) < ENOUGH_SECONDS:
            started = time.process_time()
            self._outputs(batch)
            durations.append(time.process_time() - started)
        return max(min(durations), 1e-9)
