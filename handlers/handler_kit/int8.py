"""Linear layers in 8 bits: a quarter of the bytes to read, and several products per instruction.

Weights are quantized once, with a scale for each output.  Inputs are quantized in each pass, with a
scale for each row, so that an input does not depend on the others of its batch.  Everything else
stays in fp32.
"""

import warnings

import torch
from torch import nn

LEVELS = 127  # the largest absolute value
ZERO_POINT = 128  # the kernel takes rows as unsigned numbers
SMALLEST_SCALE = 1e-12  # for rows of zeros


class Int8Linear(nn.Module):
    """A copy of *linear* quantized to 8 bits."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        scales = (weight.abs().amax(1) / LEVELS).clamp(min=SMALLEST_SCALE).double()
        zeros = torch.zeros(len(scales), dtype=torch.int64)
        with warnings.catch_warnings():
            # torch has deprecated these tensors, but has no other kernel that is as fast for a
            # single row: qlinear_pointwise takes 0.06 ms, this one 0.03.
            warnings.filterwarnings("ignore", "torch.quantize_per_tensor", UserWarning)
            rounded = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
        # The bias is added afterwards, as the kernel would scale it with the rows.
        self._packed = torch.ops.quantized.linear_prepack(rounded, None)
        self._bias = None if linear.bias is None else linear.bias.detach().float()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return float32 [..., outputs] for float32 [..., inputs]."""
        scales = inputs.abs().amax(-1, keepdim=True).clamp_(min=SMALLEST_SCALE)
        outputs: torch.Tensor = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
            inputs / scales, 1 / LEVELS, ZERO_POINT, self._packed
        )
        outputs.mul_(scales)
        return outputs if self._bias is None else outputs.add_(self._bias)


class Quantized:
    """Replaces the linear layers of *model* in place by `Int8Linear`, until `undo`.

    Subclasses of `nn.Linear`, and layers whose weights torch's own transformer reads, are kept.
    """

    def __init__(self, model: nn.Module) -> None:
        self._replaced: list[tuple[nn.Module, str, nn.Linear]] = []
        made: dict[nn.Linear, Int8Linear] = {}  # a shared layer is converted once
        for path, child in list(model.named_modules(remove_duplicate=False)):
            above, _, name = path.rpartition(".")
            parent = model.get_submodule(above)
            if type(child) is not nn.Linear or isinstance(parent, nn.TransformerEncoderLayer):
                continue
            if child not in made:
                made[child] = Int8Linear(child)
            setattr(parent, name, made[child])
            self._replaced.append((parent, name, child))

    def __len__(self) -> int:
        return len(self._replaced)

    def undo(self) -> None:
        """Restore the layers."""
        for parent, name, linear in self._replaced:
            setattr(parent, name, linear)
        self._replaced.clear()
