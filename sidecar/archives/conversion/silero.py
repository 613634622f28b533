"""silero-vad's 16 kHz network: the ONNX file of its wheel as safetensors.

The wheel's own safetensors file holds older weights than its TorchScript and ONNX files, which
agree with each other.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from safetensors.numpy import save_file

NETWORK, WEIGHTS = "silero_vad_16k_op15.onnx", "silero_vad_16k.safetensors"
NAMES = {
    "model.stft.forward_basis_buffer": "stft_conv.weight",
    **{
        f"model.encoder.{layer}.reparam_conv.{kind}": f"conv{layer + 1}.{kind}"
        for layer in range(4)
        for kind in ("weight", "bias")
    },
    **{
        f"model.decoder.rnn.{name}": f"lstm_cell.{name}"
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    },
    "model.decoder.decoder.2.weight": "final_conv.weight",
    "model.decoder.decoder.2.bias": "final_conv.bias",
}

Array = np.ndarray[Any, Any]


def convert(source: Path, target: Path) -> None:
    """Write `silero_vad_16k.safetensors` into *target*.  Raises ValueError."""
    if not (source / NETWORK).is_file():
        raise ValueError(f"there is no {NETWORK}")
    graph = onnx.load(source / NETWORK).graph
    stored: dict[str, Array] = {
        each.name: numpy_helper.to_array(each).astype(np.float32)
        for each in graph.initializer
        if each.name in NAMES
    }
    if missing := NAMES.keys() - stored.keys():
        raise ValueError(f"{NETWORK} lacks {', '.join(sorted(missing))}")
    save_file({NAMES[name]: array for name, array in stored.items()}, target / WEIGHTS)
