"""A program for builds that converts the tensors of a pickled checkpoint to safetensors.

    python unpickling.py checkpoint.pt model.safetensors

`weights_only` reads tensors and plain values, and refuses anything that would run code.  Nested
dictionaries become dotted names, except one that is called `state_dict`.  Values other than
tensors are omitted.
"""

import pickle
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor


def main(source: Path, target: Path) -> str | None:
    """Convert *source* to *target*.  Return None, or why it failed, to follow the file's name."""
    try:
        loaded = torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        return "contains more than tensors; it is refused, since reading it could run foreign code"
    except Exception:  # noqa: BLE001 - parsing arbitrary bytes may raise anything
        return "is damaged"
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    tensors = dict(_tensors(loaded, ""))
    if not tensors:
        return "contains no tensors"
    save_file(tensors, target, metadata={"format": "pt"})
    return None


def _tensors(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value.detach().clone().contiguous()  # shared tensors are stored twice
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _tensors(part, f"{name}.{key}" if name else str(key))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))  # a message is written to standard error
