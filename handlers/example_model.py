"""The example: a small multilayer perceptron with fixed weights, for trying the API.

`python example_model.py FILE` writes its weights.
"""

import sys
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

SEED = 20240115


class ExampleModel(nn.Module):
    """Maps ten numbers to one between 0 and 1."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1)
        )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return [n, 1] for *inputs* [n, 10]."""
        return torch.sigmoid(self.layers(inputs))


def write_weights(path: Path) -> None:
    """Write the weights as safetensors.  The same version of torch writes the same bytes.

    Like torch's initial weights of linear layers, they are uniform in ±1/√(inputs of the layer),
    from a fixed seed.
    """
    generator = torch.Generator().manual_seed(SEED)
    state = ExampleModel().state_dict()
    for name in sorted(state):
        inputs = state[name.replace("bias", "weight")].shape[1]
        uniform = torch.rand(state[name].shape, generator=generator)
        state[name] = (2 * uniform - 1) / inputs**0.5
    safetensors.torch.save_file(state, path)


if __name__ == "__main__":
    write_weights(Path(sys.argv[1]))
