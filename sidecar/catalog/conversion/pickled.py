"""A checkpoint of the hub whose weights are pickled (`pytorch_model.bin`) as safetensors.

They are read in a process of their own, where nothing but tensors can come out of them.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from sidecar.catalog.handler_code import HANDLERS

PROGRAM = HANDLERS / "handler_kit" / "unpickling.py"
PICKLED, SAFE = "pytorch_model.bin", "model.safetensors"
LEFT_OUT = (
    *("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle", "*.npy", "*.npz"),
    *(".*", "__pycache__"),
)


def convert(source: Path, target: Path) -> None:
    """All of *source*, its subfolders too, with `model.safetensors` for each pickled file.

    Raises ValueError for a file that holds more than tensors and plain values.
    """
    if not source.is_dir():
        raise ValueError("there is no such folder")
    shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
    for pickled in source.rglob(PICKLED):
        safe = target / pickled.parent.relative_to(source) / SAFE
        if not safe.exists():
            unpickle(pickled, safe)


def unpickle(source: Path, target: Path) -> None:
    """The tensors of *source* in the safetensors file *target*.  Raises ValueError."""
    done = subprocess.run(  # noqa: S603 - our own interpreter and program
        [sys.executable, str(PROGRAM), str(source), str(target)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:]
        raise ValueError(f"{source.name} cannot be read safely: {' '.join(last)[:300]}")
