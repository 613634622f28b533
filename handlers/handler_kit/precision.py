"""Lower precision where it pays, checked against fp32 before anyone is served."""

from collections.abc import Collection

import msgspec
import torch

from handler_kit.config import HandlerConfig, Precision
from handler_kit.errors import LoadError

MIN_COSINE = 0.99
DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}


class PrecisionCheck(msgspec.Struct, frozen=True):
    """How near the lowered model's outputs are to fp32; *cosine* None when there were none."""

    precision: Precision
    cosine: float | None
    passed: bool


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
    precision: Precision, reference: torch.Tensor, lowered: torch.Tensor
) -> PrecisionCheck:
    """Compares two flat outputs: finite, and pointing the same way as *reference*."""
    if reference.shape != lowered.shape or not torch.isfinite(lowered).all():
        return PrecisionCheck(precision, None, passed=False)
    cosine = cosine_of(reference, lowered)
    return PrecisionCheck(precision, round(cosine, 6), passed=cosine >= MIN_COSINE)


def cosine_of(first: torch.Tensor, second: torch.Tensor) -> float:
    """The cosine between two tensors of one shape, taken flat; 1.0 between two zeros."""
    first, second = first.flatten().double(), second.flatten().double()
    if torch.equal(first, second):
        return 1.0
    return float(torch.nn.functional.cosine_similarity(first, second, dim=0))
