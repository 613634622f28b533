"""Pickled weights of PyTorch as safetensors: `pytorch_model.bin` or its shards, or a `.ckpt`.

`torch.load` with `weights_only` knows tensors and plain containers, and calls nothing else; a
file that needs more is refused.  This module alone imports torch, so it runs only in the
process that downloads and builds.
"""

import json
import pickle
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

INDEX = "pytorch_model.bin.index.json"
PICKLED = re.compile(r"pytorch_model(-\d{5}-of-\d{5})?\.bin|\w+\.ckpt")


def convert(source: Path, target: Path) -> None:
    """Writes `model….safetensors` into *target* for each file of weights in *source*.

    Raises ValueError for a file that is spoiled or holds more than tensors.
    """
    names = {
        path.name: f"{path.stem.replace('pytorch_model', 'model')}.safetensors"
        for path in sorted(source.iterdir())
        if PICKLED.fullmatch(path.name)
    }
    if not names:
        raise ValueError("there are no pickled weights")
    for name, renamed in names.items():
        save_file(_tensors(source / name), target / renamed, metadata={"format": "pt"})
    index = source / INDEX
    if index.exists():
        _rewrite_index(index, target, names)


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as exc:
        raise ValueError(
            f"{path.name} is not tensors alone, so reading it could run foreign code; refused"
        ) from exc
    except Exception as exc:  # a parser of strange bytes may raise anything
        raise ValueError(f"{path.name} is damaged") from exc
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(_is_weight(*item) for item in state.items()):
        raise ValueError(f"{path.name} is no dictionary of tensors")
    # Tied weights share memory, which safetensors does not allow.
    return {name: tensor.clone().contiguous() for name, tensor in state.items()}


def _is_weight(name: Any, value: Any) -> bool:
    return isinstance(name, str) and isinstance(value, torch.Tensor)


def _rewrite_index(index: Path, target: Path, names: dict[str, str]) -> None:
    content = json.loads(index.read_bytes())
    places = content["weight_map"]
    content["weight_map"] = {weight: names[place] for weight, place in places.items()}
    (target / "model.safetensors.index.json").write_text(json.dumps(content))
