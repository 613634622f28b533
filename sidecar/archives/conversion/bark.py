"""Bark with pickled weights, and its voices: arrays of NumPy, three for each."""

from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from sidecar.archives.conversion import pickled

VOICES, VOICES_FILE = "speaker_embeddings", "voices.safetensors"
PROMPTS = ("semantic_prompt", "coarse_prompt", "fine_prompt")

Array = np.ndarray[Any, Any]


def convert(source: Path, target: Path) -> None:
    """Write the checkpoint, and `voices.safetensors` with tensors named ``<voice>.<prompt>``.

    The voices are ``speaker_embeddings/<voice>_<prompt>.npy`` or ``<voice>.npz``.  Raises
    ValueError.
    """
    pickled.convert(source, target)
    voices = dict(_single(source / VOICES)) | dict(_together(source / VOICES))
    if voices:
        save_file(voices, target / VOICES_FILE)


def _single(folder: Path) -> list[tuple[str, Array]]:
    found = []
    for prompt in PROMPTS:
        for path in sorted(folder.rglob(f"*_{prompt}.npy")):
            voice = path.relative_to(folder).as_posix().removesuffix(f"_{prompt}.npy")
            found.append((f"{voice}.{prompt}", _prompt(np.load(path, allow_pickle=False))))
    return found


def _together(folder: Path) -> list[tuple[str, Array]]:
    found = []
    for path in sorted(folder.rglob("*.npz")):
        voice = path.relative_to(folder).with_suffix("").as_posix()
        with np.load(path, allow_pickle=False) as arrays:
            if set(PROMPTS) - set(arrays):
                raise ValueError(f"{path.name} is not a voice: it lacks a prompt")
            found += [(f"{voice}.{prompt}", _prompt(arrays[prompt])) for prompt in PROMPTS]
    return found


def _prompt(array: Array) -> Array:
    return np.ascontiguousarray(array.astype(np.int64))
