"""Selects the device that a model runs on: the CPU, MPS, or the GPU with the most free memory."""

import logging
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import torch

from handler_kit.errors import LoadError

log = logging.getLogger(__name__)

FAR_MORE = 1.02  # the factor of free memory from which another GPU is preferred


class FoundDevice(NamedTuple):
    """A device.  If TorchServe assigned a GPU but this is none, *reason* says why; else None."""

    device: torch.device
    reason: str | None = None


class CudaDevices(NamedTuple):
    """How many devices torch can use.  If there are none, *missing* says why."""

    usable: int
    missing: str = ""


def find_cuda() -> CudaDevices:
    """Return torch's CUDA devices, without allocating memory on any of them.

    `device_count` is not sufficient: it includes cards that torch cannot use, and with a driver
    that is too old every model would fail to load.
    """
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        usable = torch.cuda.is_available()
    if usable:
        return CudaDevices(torch.cuda.device_count())
    if said:  # torch warns about a driver that is too old, and names both versions
        return CudaDevices(0, str(said[-1].message).partition(" (Triggered internally")[0])
    if torch.version.cuda is None and torch.version.hip is None:
        return CudaDevices(0, f"torch {torch.__version__} is a build without CUDA")
    return CudaDevices(0, "torch finds neither a GPU nor a driver for one")


def choose_device(
    requested: str, gpu_id: int | None, *, cuda_devices: int, has_mps: bool, missing: str = ""
) -> torch.device:
    """Return the device for *requested*: auto, cpu, mps, cuda or cuda:N.

    *gpu_id* is the GPU that TorchServe assigned to this worker, None without one.  "auto" never
    selects a GPU that TorchServe did not assign.  Nor does it select MPS, which lacks operations
    that we use (`segment_reduce`, double precision) and has not been tested.  *missing* says why
    there are no CUDA devices.  Raises LoadError for a device that does not exist.
    """
    if requested == "auto":
        if gpu_id is not None and gpu_id < cuda_devices:
            return torch.device("cuda", gpu_id)
        return torch.device("cpu")
    if requested == "mps" and not has_mps:
        raise LoadError("device: mps is not available on this machine")
    if requested.startswith("cuda"):
        index = int(requested.partition(":")[2] or gpu_id or 0)
        if index >= cuda_devices:
            raise LoadError(
                f"device: {requested} is not available: torch can use {cuda_devices} CUDA devices"
                + (f" ({missing})" if missing else "")
            )
        return torch.device("cuda", index)
    return torch.device(requested)


def roomiest(turn: int, free: Sequence[int]) -> int:
    """Return the GPU *turn*, unless another has far more *free* bytes; then the one with the most.

    Workers that start at the same time have different turns, so they do not all select one GPU.
    """
    best = max(range(len(free)), key=free.__getitem__)
    return best if free[best] > FAR_MORE * free[turn] else turn


def find_device(requested: str, gpu_id: int | None, *, in_turn: bool) -> FoundDevice:
    """Return the device for this machine; among several GPUs, the one with the most free memory.

    With *in_turn*, the operator has named the GPUs, so TorchServe's assignment is kept.
    """
    count, missing = find_cuda() if requested not in ("cpu", "mps") else CudaDevices(0)
    if gpu_id is not None and gpu_id < count and not in_turn:
        gpu_id = roomiest(gpu_id, _free_memory(count))
    device = choose_device(
        requested,
        gpu_id,
        cuda_devices=count,
        has_mps=torch.backends.mps.is_available(),
        missing=missing,
    )
    if requested == "auto" and gpu_id is not None and not count:
        log.warning("the machine has a GPU, but the model runs on %s: %s", device, missing)
        return FoundDevice(device, missing)
    return FoundDevice(device)


def sent(tensor: torch.Tensor, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Copy *tensor* from the CPU to *device* and return it there as *dtype*.

    A GPU reads it from pinned memory, so that the CPU need not wait for the transfer.  The GPU
    also converts it to *dtype*, which costs nothing there.
    """
    if device.type != "cuda":
        return tensor.to(device, dtype)
    return tensor.pin_memory().to(device, non_blocking=True).to(dtype)


def give_back(device: torch.device) -> None:
    """Return the memory of *device* that torch has cached but does not use to the driver."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def _free_memory(count: int) -> list[int]:
    """Return the free bytes of each GPU; all zeros if the driver does not say.

    NVML is queried, since querying CUDA would allocate memory on every GPU.
    """
    try:
        return [
            torch.cuda.get_device_properties(gpu).total_memory - torch.cuda.device_memory_used(gpu)
            for gpu in range(count)
        ]
    except Exception as exc:  # noqa: BLE001 - NVML, its binding and torch each have their own
        log.warning("cannot determine the GPUs' free memory: %s", exc)
        return [0] * count
