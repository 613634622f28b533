"""Pickled weights as safetensors: `pytorch_model.bin`, its shards with their index, or a `.ckpt`.

They are read in a process of their own, where nothing but tensors can come out of them.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from sidecar.catalog.handler_options import HANDLERS

PROGRAM = HANDLERS / "handler_kit" / "unpickling.py"
PICKLED = re.compile(r"pytorch_model(-\d{5}-of-\d{5})?\.bin|\w+\.ckpt")
INDEX, SAFE_INDEX = "pytorch_model.bin.index.json", "model.safetensors.index.json"
LEFT_OUT = (
    "*.bin",
    "*.pt",
    "*.pth",
    "*.ckpt",
    "*.pkl",
    "*.pickle",
    "*.npy",
    "*.npz",
    INDEX,
    ".*",
    "__pycache__",
)


def convert(source: Path, target: Path) -> None:
    """Copy *source* and its subfolders, with a safetensors file in place of each pickled one.

    Raises ValueError for a file that holds more than tensors and plain values.
    """
    if not source.is_dir():
        raise ValueError("there is no such folder")
    shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
    for pickled in sorted(source.rglob("*")):
        if PICKLED.fullmatch(pickled.name):
            safe = target / pickled.parent.relative_to(source) / _safe_name(pickled.name)
            if not safe.exists():
                unpickle(pickled, safe)
    for index in source.rglob(INDEX):
        _rewrite_index(index, target / index.parent.relative_to(source) / SAFE_INDEX)


def unpickle(source: Path, target: Path) -> None:
    """Write the tensors of *source* to the safetensors file *target*.  Raises ValueError."""
    done = subprocess.run(  # noqa: S603 - our own interpreter and program
        [sys.executable, str(PROGRAM), str(source), str(target)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["cannot be read"]
        raise ValueError(f"{source.name} {said[-1][:300]}")


def _safe_name(name: str) -> str:
    return f"{name.rpartition('.')[0].replace('pytorch_model', 'model')}.safetensors"


def _rewrite_index(index: Path, target: Path) -> None:
    content = json.loads(index.read_bytes())
    places = content["weight_map"]
    content["weight_map"] = {weight: _safe_name(place) for weight, place in places.items()}
    target.write_text(json.dumps(content))
