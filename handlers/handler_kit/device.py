"""Where a model runs."""

import logging
from collections.abc import Sequence

import torch

from handler_kit.errors import LoadError

log = logging.getLogger(__name__)

FAR_MORE = 1.02  # a GPU with less than this much more free memory is no better


def choose_device(
    requested: str, gpu_id: int | None, *, cuda_devices: int, has_mps: bool
) -> torch.device:
    """The device for *requested*: auto, cpu, mps, cuda or cuda:N.

    *gpu_id* is what TorchServe gave this worker, None without a GPU.  "auto" never takes a GPU
    that TorchServe did not give.  Raises LoadError for a device that is not there.
    """
    if requested == "auto":
        if gpu_id is not None and gpu_id < cuda_devices:
            return torch.device("cuda", gpu_id)
        return torch.device("mps" if has_mps else "cpu")
    if requested == "mps" and not has_mps:
        raise LoadError("device mps was asked for, but this machine has none")
    if requested.startswith("cuda"):
        index = int(requested.partition(":")[2] or gpu_id or 0)
        if index >= cuda_devices:
            raise LoadError(
                f"device {requested} was asked for, but torch sees {cuda_devices} CUDA devices"
            )
        return torch.device("cuda", index)
    return torch.device(requested)


def roomiest(turn: int, free: Sequence[int]) -> int:
    """The GPU with most of *free* bytes; *turn* unless another has far more.

    Workers that start at the same time have different turns, and so do not all take one GPU.
    """
    best = max(range(len(free)), key=free.__getitem__)
    return best if free[best] > FAR_MORE * free[turn] else turn


def find_device(requested: str, gpu_id: int | None, *, in_turn: bool) -> torch.device:
    """`choose_device` on this machine, among several GPUs the roomiest.

    *in_turn*: the operator named the GPUs, so that TorchServe's choice stands.
    """
    count = torch.cuda.device_count()
    if gpu_id is not None and gpu_id < count and not in_turn:
        gpu_id = roomiest(gpu_id, _free_memory(count))
    return choose_device(
        requested, gpu_id, cuda_devices=count, has_mps=torch.backends.mps.is_available()
    )


def _free_memory(count: int) -> list[int]:
    """Bytes free on each GPU; all the same if the driver does not say.

    Asked of NVML: asking CUDA would take memory on every GPU.
    """
    try:
        return [
            torch.cuda.get_device_properties(gpu).total_memory - torch.cuda.device_memory_used(gpu)
            for gpu in range(count)
        ]
    except Exception as exc:  # noqa: BLE001 - NVML, its binding and torch each have their own
        log.warning("the GPUs' free memory is not known: %s", exc)
        return [0] * count
