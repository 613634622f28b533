"""CUDA_VISIBLE_DEVICES in the one form that TorchServe can read: indices.

TorchServe's Java parses each name with `Integer.parseInt`, and dies of ``GPU-8f2c…`` and of the
space in ``0, 1``.  CUDA takes these, and so does NVML.
"""

from collections.abc import Sequence


class UnusableGpuName(RuntimeError):
    """CUDA_VISIBLE_DEVICES names a GPU in a way that cannot be expressed as an index."""


def visible_indices(names: str, uuids: Sequence[str] | None) -> list[int]:
    """Return the places of the GPUs that *names* makes visible, in its order.

    *uuids* are those of the machine's GPUs, in the order of their places on the bus; None: the
    driver does not tell them, and every index is accepted.  As in CUDA, the first name of no GPU
    (-1, an index too high) ends the list, and the beginning of a UUID will do.  Raises
    UnusableGpuName for a UUID that is none of these, or fits several, and for part of a GPU (MIG).
    """
    indices: list[int] = []
    for name in (each.strip() for each in names.split(",")):
        if name.upper().startswith("MIG-"):
            raise UnusableGpuName(
                f"CUDA_VISIBLE_DEVICES: {name} is part of a GPU, and TorchServe can only count "
                "whole ones; name the GPU by its index, and CUDA takes the first part of it"
            )
        if name.upper().startswith("GPU-"):
            indices.append(_place(name, uuids or []))
        elif name.isdecimal() and (uuids is None or int(name) < len(uuids)):
            indices.append(int(name))
        else:
            break
    return indices


def _place(name: str, uuids: Sequence[str]) -> int:
    found = [place for place, each in enumerate(uuids) if each.lower().startswith(name.lower())]
    if len(found) != 1:
        known = ", ".join(uuids) or "none"
        raise UnusableGpuName(
            f"CUDA_VISIBLE_DEVICES: {name} must name one GPU, but it fits {len(found)} of this "
            f"machine's ({known})"
        )
    return found[0]
