"""CUDA_VISIBLE_DEVICES in the only form that TorchServe can parse: indices.

TorchServe's Java parses each name with `Integer.parseInt`, and fails on ``GPU-8f2c…`` and on the
space in ``0, 1``, which CUDA accepts.
"""

from collections.abc import Sequence


class UnusableGpuName(RuntimeError):
    """CUDA_VISIBLE_DEVICES names a GPU that cannot be expressed as an index."""


def visible_indices(names: str, uuids: Sequence[str] | None) -> list[int]:
    """Return the indices of the GPUs that *names* makes visible, in its order.

    *uuids* are those of the machine's GPUs in the order of their bus ids; None if the driver does
    not report them, and then every index is accepted.  As in CUDA, the first name that is not a GPU
    (-1, an index too high) ends the list, and the beginning of a UUID suffices.  Raises
    UnusableGpuName for a UUID that matches none or several, and for a MIG instance.
    """
    indices: list[int] = []
    for name in (each.strip() for each in names.split(",")):
        if name.upper().startswith("MIG-"):
            raise UnusableGpuName(
                f"CUDA_VISIBLE_DEVICES: {name} is part of a GPU, and TorchServe can only count "
                "whole ones; name the GPU by its index; CUDA then uses its first MIG instance"
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
            f"CUDA_VISIBLE_DEVICES: {name} must name one GPU, but it matches {len(found)} of this "
            f"machine's ({known})"
        )
    return found[0]
