"""The example model for a peer's program: the folder EXAMPLE holds the archive's files."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

MAX_BATCH_SIZE = 64
MAX_WAIT_SECONDS = 0.001


def load_network(folder: str | None = None) -> Callable[[list[list[float]]], list[float]]:
    """Return what turns rows of ten numbers into one number each, in one forward pass."""
    place = Path(folder or os.environ["EXAMPLE"])
    sys.path.insert(0, str(place))
    example: Any = __import__("example_model")
    torch.set_num_threads(1)
    model = example.ExampleModel().eval()
    model.load_state_dict(load_file(place / "model.safetensors"))

    @torch.inference_mode()
    def run(rows: list[list[float]]) -> list[float]:
        numbers: list[float] = model(torch.tensor(rows, dtype=torch.float32))[:, 0].tolist()
        return numbers

    return run
