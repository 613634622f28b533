"""Lower precision where it pays, checked against fp32 before anyone is served."""

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
    """How near the lowered model is to fp32, at the worst of all samples.

    *score_change* is how far a probability moved, for models whose outputs are logits; both are
    None where nothing could be compared.
    """

    precision: Precision
    cosine: float | None
    passed: bool
    score_change: float | None = None


def choose_precision(
    config: HandlerConfig, device: torch.device, possible: Collection[Precision]
) -> Precision:
    """What *config* asks for; "auto" is fp32 on a CPU, half precision on a GPU.

    Raises LoadError for a precision that is not *possible* with the handler.
    """
    if config.precision != "auto":
        if config.precision not in possible:
            raise LoadError(
                f"precision {config.precision}: this handler runs in {', '.join(sorted(possible))}"
            )
        return config.precision
    if device.type == "cpu" or possible == {"fp32"}:
        return "fp32"
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16"
    return "fp16"


def check_precision(
    precision: Precision,
    kind: Compared,
    reference: Sequence[torch.Tensor],
    lowered: Sequence[torch.Tensor],
) -> PrecisionCheck:
    """Compare the outputs of a lowered model with those in fp32, sample by sample.

    One sample that went astray must not hide among others that did not, nor a best score that
    fell among a thousand labels that stayed where they were.  So numbers must lie within
    MAX_DISTANCE, each vector point the same way, and no probability of logits move far.
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
    """The most that a probability differs: of logits along the last dimension."""
    return float((first.softmax(-1) - second.softmax(-1)).abs().max())


def _distance(first: torch.Tensor, second: torch.Tensor) -> float:
    """How far *second* is from *first*, as a part of its length; 0.0 between two zeros."""
    length, distance = float(first.norm()), float((first - second).norm())
    return distance / length if length else distance


def cosine_of(first: torch.Tensor, second: torch.Tensor) -> float:
    """The cosine between two tensors of one shape, taken flat; 1.0 between two zeros."""
    first, second = first.flatten().double(), second.flatten().double()
    if torch.equal(first, second):
        return 1.0
    return float(torch.nn.functional.cosine_similarity(first, second, dim=0))
