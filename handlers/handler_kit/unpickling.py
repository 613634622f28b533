"""A program of the build: the tensors of a pickled checkpoint as safetensors.

    python unpickling.py checkpoint.pt model.safetensors

`weights_only` reads tensors and plain values and refuses whatever would run code.  Dictionaries
inside dictionaries become names with dots; what is no tensor is left out.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor


def main(source: Path, target: Path) -> None:
    """Raises pickle.UnpicklingError, with a sentence, for what must not be read."""
    loaded = torch.load(source, map_location="cpu", weights_only=True)
    save_file(dict(_tensors(loaded, "")), target)


def _tensors(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value.detach().clone().contiguous()  # what is shared is stored twice
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _tensors(part, f"{name}.{key}" if name else str(key))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
