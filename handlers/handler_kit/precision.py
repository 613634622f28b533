"""Which lower precisions may pay, and how close to fp32 they must come."""

from collections.abc import Collection, Sequence
from typing import Literal

import msgspec
import torch

from handler_kit.config import HandlerConfig, Precision
from handler_kit.errors import LoadError

Compared = Literal["numbers", "vectors", "logits"]

MAX_DISTANCE = 0.05  # between two answers of numbers, as a part of the one in fp32
MIN_VECTOR_COSINE = 0.999
MIN_LOGITS_COSINE = 0.99
MAX_SCORE_CHANGE = 0.05  # of any probability that logits come to
DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}


class PrecisionCheck(msgspec.Struct, frozen=True):
    """How close the lowered model comes to fp32, for the worst of all samples.

    *score_change* is how far a probability moved, for models whose outputs are logits.  It and
    *cosine* are None where nothing could be compared.  *speedup* is how many times as fast as in
    fp32 it is, None where that was not measured.
    """

    precision: Precision
    cosine: float | None
    passed: bool
    score_change: float | None = None
    speedup: float | None = None


def precisions_to_try(
    config: HandlerConfig, device: torch.device, possible: Collection[Precision], kind: Compared
) -> tuple[Precision, ...]:
    """Return the lower precisions that *config* asks for, or for "auto" those that may pay.

    On a CPU these are the ones that its instructions are made for, and on a GPU one half precision.
    Where a model's answers are of *kind* "numbers", only its user knows how exact they must be: on
    a CPU they are not rounded unless that is asked for.  Raises LoadError for a precision that is
    not *possible* with the handler, or not on *device*.
    """
    on_cpu = device.type == "cpu"
    asked = config.precision
    if asked != "auto":
        if asked not in possible:
            raise LoadError(
                f"precision: expected one of: {', '.join(sorted(possible))}; got {asked}"
            )
        if asked == "int8" and not (on_cpu and "int8" in processor_precisions()):
            raise LoadError("precision: int8 needs a CPU with AVX-512 VNNI, and the model on it")
        return () if asked == "fp32" else (asked,)
    if on_cpu:
        may_pay = () if kind == "numbers" else processor_precisions()
        if config.compile == "on":  # no compiler knows the kernels of int8
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
    if has.get("avx512_vnni"):  # without it the kernel's sums overflow
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

    One sample that went wrong must not hide among others that did not, nor a best score that fell
    among a thousand labels that stayed where they were.  So numbers must lie within MAX_DISTANCE,
    each vector must point the same way, and no probability may move far.
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
    else:  # one logit is the number itself
        passed = all(_distance(a, b) <= MAX_DISTANCE for a, b in pairs)
    rounded = None if change is None else round(change, 6)
    return PrecisionCheck(precision, round(cosine, 6), passed=passed, score_change=rounded)


def _score_change(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return the largest change of a probability, for logits along the last dimension."""
    return float((first.softmax(-1) - second.softmax(-1)).abs().max())


def _distance(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return how far *second* is from *first*, relative to *first*'s length; 0.0 for two zeros."""
    length, distance = float(first.norm()), float((first - second).norm())
    return distance / length if length else distance


def cosine_of(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return the cosine between two tensors of one shape, flattened; 1.0 between two zeros."""
    first, second = first.flatten().double(), second.flatten().double()
    if torch.equal(first, second):
        return 1.0
    return float(torch.nn.functional.cosine_similarity(first, second, dim=0))
