"""Which lower precisions may be faster, and how close to fp32 they must be."""

from collections.abc import Collection, Sequence
from typing import Literal

import msgspec
import torch

from handler_kit.config import HandlerConfig, Precision
from handler_kit.errors import LoadError

Compared = Literal["numbers", "vectors", "logits"]

MAX_DISTANCE = 0.05  # between two answers of numbers, relative to the one in fp32
MIN_VECTOR_COSINE = 0.999
MIN_LOGITS_COSINE = 0.99
MAX_SCORE_CHANGE = 0.05  # of any probability computed from logits
DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}


class PrecisionCheck(msgspec.Struct, frozen=True):
    """How close the lowered model is to fp32, for the worst of all samples.

    *score_change* is the largest change of a probability, for models whose outputs are logits.  It
    and *cosine* are None if nothing could be compared.  *speedup* is the speed relative to fp32,
    None if it was not measured.
    """

    precision: Precision
    cosine: float | None
    passed: bool
    score_change: float | None = None
    speedup: float | None = None


def precisions_to_try(
    config: HandlerConfig, device: torch.device, possible: Collection[Precision], kind: Compared
) -> tuple[Precision, ...]:
    """Return the lower precision that *config* names, or for "auto" those that may be faster.

    On a CPU these are the ones that it has instructions for, and on a GPU one half precision.  If
    a model's answers are of *kind* "numbers", only its user knows how exact they must be, so on a
    CPU "auto" keeps fp32.  Raises LoadError for a precision that is not *possible* with the
    handler, or not on *device*.
    """
    on_cpu = device.type == "cpu"
    asked = config.precision
    if asked != "auto":
        if asked not in possible:
            raise LoadError(
                f"precision: expected one of: {', '.join(sorted(possible))}; got {asked}"
            )
        if asked == "int8" and not (on_cpu and "int8" in processor_precisions()):
            raise LoadError("precision: int8 requires the model to run on a CPU with AVX-512 VNNI")
        return () if asked == "fp32" else (asked,)
    if on_cpu:
        may_pay = () if kind == "numbers" else processor_precisions()
        if config.compile == "on":  # no compiler supports the int8 kernels
            possible = set(possible) - {"int8"}
    elif device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        may_pay = ("bf16",)
    else:
        may_pay = ("fp16",)
    return tuple(precision for precision in may_pay if precision in possible)


def processor_precisions() -> tuple[Precision, ...]:
    """Return the lowered precisions that this processor has instructions for."""
    has = torch.cpu.get_capabilities()
    found: list[Precision] = []
    if has.get("avx512_vnni"):  # without it, the kernel's sums overflow
        found.append("int8")
    if any(has.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16")):  # the last one: Arm
        found.append("bf16")
    return tuple(found)


def check_precision(
    precision: Precision,
    kind: Compared,
    reference: Sequence[torch.Tensor],
    lowered: Sequence[torch.Tensor],
) -> PrecisionCheck:
    """Compare the outputs of a lowered model with those in fp32, sample by sample.

    One wrong sample must not be averaged out by others, nor one changed score by a thousand labels
    that did not change.  Therefore numbers must lie within MAX_DISTANCE, each vector must have the
    same direction, and no probability may change by more than MAX_SCORE_CHANGE.
    """
    pairs = list(zip(reference, lowered, strict=False))
    alike = len(reference) == len(lowered) and all(a.shape == b.shape for a, b in pairs)
    if not (alike and all(bool(torch.isfinite(b).all()) for _, b in pairs)):
        return PrecisionCheck(precision, None, passed=False)
    pairs = [(a, b) for a, b in pairs if a.numel()]
    cosine = min((cosine_of(a, b) for a, b in pairs), default=1.0)
    change = None
    if kind == "vectors":
        passed = cosine >= MIN_VECTOR_COSINE
    elif kind == "logits" and all(a.shape[-1] > 1 for a, _ in pairs):
        change = max((_score_change(a, b) for a, b in pairs), default=0.0)
        passed = cosine >= MIN_LOGITS_COSINE and change <= MAX_SCORE_CHANGE
    else:  # a single logit is the number itself
        passed = all(_distance(a, b) <= MAX_DISTANCE for a, b in pairs)
    rounded = None if change is None else round(change, 6)
    return PrecisionCheck(precision, round(cosine, 6), passed=passed, score_change=rounded)


def _score_change(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return the largest change of a probability, for logits along the last dimension."""
    return float((first.softmax(-1) - second.softmax(-1)).abs().max())


def _distance(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return the distance of *second* from *first*, relative to *first*; 0.0 for two zeros."""
    length, distance = float(first.norm()), float((first - second).norm())
    return distance / length if length else distance


def cosine_of(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return the cosine between two tensors of one shape, flattened; 1.0 between two zeros."""
    first, second = first.flatten().double(), second.flatten().double()
    if torch.equal(first, second):
        return 1.0
    return float(torch.nn.functional.cosine_similarity(first, second, dim=0))
