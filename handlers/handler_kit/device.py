"""Where a model runs."""

import torch

from handler_kit.errors import LoadError


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


def find_device(requested: str, gpu_id: int | None) -> torch.device:
    """`choose_device` on this machine."""
    return choose_device(
        requested,
        gpu_id,
        cuda_devices=torch.cuda.device_count(),
        has_mps=torch.backends.mps.is_available(),
    )
