"""Picks the device that a model runs on: the CPU, MPS, or the GPU with the most free memory."""

import logging
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import torch

from handler_kit.errors import LoadError

log = logging.getLogger(__name__)

FAR_MORE = 1.02  # a GPU with less than this factor of free memory is not better


class FoundDevice(NamedTuple):
    """A device; *reason* says why it is not a GPU although TorchServe gave one, else it is None."""

    device: torch.device
    reason: str | None = None


class CudaDevices(NamedTuple):
    """How many devices torch can use; where there are none, *missing* says why."""

    usable: int
    missing: str = ""


def find_cuda() -> CudaDevices:
    """Ask torch for its CUDA devices, without taking memory on any of them.

    `device_count` alone cannot be trusted: the driver also counts cards that torch cannot use, and
    under a driver that is too old every model would fail while it is loaded.
    """
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        usable = torch.cuda.is_available()
    if usable:
        return CudaDevices(torch.cuda.device_count())
    if said:  # torch warns of a driver that is too old, and names both versions
        return CudaDevices(0, str(said[-1].message).partition(" (Triggered internally")[0])
    if torch.version.cuda is None and torch.version.hip is None:
        return CudaDevices(0, f"torch {torch.__version__} is a build without CUDA")
    return CudaDevices(0, "torch finds neither a GPU nor a driver for one")


def choose_device(
    requested: str, gpu_id: int | None, *, cuda_devices: int, has_mps: bool, missing: str = ""
) -> torch.device:
    """Return the device for *requested*: auto, cpu, mps, cuda or cuda:N.

    *gpu_id* is what TorchServe gave this worker, None without a GPU.  "auto" never takes a GPU that
    TorchServe did not give.  Nor does it take MPS, which lacks operations that we use
    (`segment_reduce`, double precision), and on which no model was ever tried.  *missing* says why
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
    """Return the GPU with the most of *free* bytes, or *turn* unless another has far more.

    Workers that start at the same time have different turns, and so do not all take one GPU.
    """
    best = max(range(len(free)), key=free.__getitem__)
    return best if free[best] > FAR_MORE * free[turn] else turn


def find_device(requested: str, gpu_id: int | None, *, in_turn: bool) -> FoundDevice:
    """Return `choose_device`'s answer for this machine; among several GPUs, the roomiest one.

    *in_turn*: the operator named the GPUs, so TorchServe's choice stands.
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
        log.warning("there is a GPU, but the model runs on %s: %s", device, missing)
        return FoundDevice(device, missing)
    return FoundDevice(device)


def sent(tensor: torch.Tensor, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Return *tensor*, which lies on the CPU, on *device* as *dtype*.

    A GPU reads it from pinned memory, so that the CPU does not wait until it has arrived; it is
    converted to *dtype* there, where that costs nothing.
    """
    if device.type != "cuda":
        return tensor.to(device, dtype)
    return tensor.pin_memory().to(device, non_blocking=True).to(dtype)


def give_back(device: torch.device) -> None:
    """Return to the driver what torch keeps of *device* for later but does not use now."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def _free_memory(count: int) -> list[int]:
    """Return the free bytes of each GPU; all zeros if the driver does not say.

    NVML is asked, since asking CUDA would take memory on every GPU.
    """
    try:
        return [
            torch.cuda.get_device_properties(gpu).total_memory - torch.cuda.device_memory_used(gpu)
            for gpu in range(count)
        ]
    except Exception as exc:  # noqa: BLE001 - NVML, its binding and torch each have their own
        log.warning("the GPUs' free memory is not known: %s", exc)
        return [0] * count
