"""A program for builds: the tensors of a pickled checkpoint as safetensors.

    python unpickling.py checkpoint.pt model.safetensors

`weights_only` reads tensors and plain values and refuses whatever would run code.  Dictionaries
inside dictionaries become names with dots, but for one that is called `state_dict`; what is not a
tensor is left out.
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
    """Convert *source* to *target*; return why it cannot be converted, as the rest of a sentence.

    None means that it is done.
    """
    try:
        loaded = torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        return "is not tensors alone, so reading it could run foreign code; refused"
    except Exception:  # noqa: BLE001 - a parser of strange bytes may raise anything
        return "is damaged"
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    tensors = dict(_tensors(loaded, ""))
    if not tensors:
        return "holds no tensors"
    save_file(tensors, target, metadata={"format": "pt"})
    return None


def _tensors(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value.detach().clone().contiguous()  # what is shared is stored twice
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _tensors(part, f"{name}.{key}" if name else str(key))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))  # a sentence goes to standard error
