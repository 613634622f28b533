"""Linear layers in 8 bits: four times fewer bytes to read, and several products an instruction.

Weights are rounded once, each output by a scale of its own; what goes in is rounded as it comes,
each row by a scale of its own, so that an input does not notice the others of its batch.  All else
stays in fp32.
"""

import warnings

import torch
from torch import nn

LEVELS = 127  # of a number's absolute value
ZERO_POINT = 128  # rows are unsigned to the kernel
SMALLEST_SCALE = 1e-12  # of what is all zeros


class Int8Linear(nn.Module):
    """Answers as *linear*, which it holds rounded to 8 bits."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        scales = (weight.abs().amax(1) / LEVELS).clamp(min=SMALLEST_SCALE).double()
        zeros = torch.zeros(len(scales), dtype=torch.int64)
        with warnings.catch_warnings():
            # torch means to drop these tensors one day, but has no kernel yet that does without
            # them and is as quick for a single row: qlinear_pointwise takes 0.06 ms, this one 0.03.
            warnings.filterwarnings("ignore", "torch.quantize_per_tensor", UserWarning)
            rounded = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
        # The bias is added afterwards: the kernel would scale it with the rows.
        self._packed = torch.ops.quantized.linear_prepack(rounded, None)
        self._bias = None if linear.bias is None else linear.bias.detach().float()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Float32 [..., outputs] from float32 [..., inputs]."""
        scales = inputs.abs().amax(-1, keepdim=True).clamp_(min=SMALLEST_SCALE)
        outputs: torch.Tensor = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
            inputs / scales, 1 / LEVELS, ZERO_POINT, self._packed
        )
        outputs.mul_(scales)
        return outputs if self._bias is None else outputs.add_(self._bias)


class Quantized:
    """The linear layers of *model*, replaced in place by their `Int8Linear` until `undo`.

    A subclass of `nn.Linear`, and a layer that torch's own transformer reads the weights of, stay
    as they are.
    """

    def __init__(self, model: nn.Module) -> None:
        self._replaced: list[tuple[nn.Module, str, nn.Linear]] = []
        made: dict[nn.Linear, Int8Linear] = {}  # one for all places of a layer that is shared
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
        """Put the layers back."""
        for parent, name, linear in self._replaced:
            setattr(parent, name, linear)
        self._replaced.clear()


class Int8Form:
    """A *model* that was published in 8 bits too, and takes that form while `in_int8` is true."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        model.in_int8 = True  # type: ignore[assignment]

    def __len__(self) -> int:
        return 1

    def undo(self) -> None:
        """Let the model be in fp32 again."""
        self._model.in_int8 = False  # type: ignore[assignment]


def to_int8(model: nn.Module) -> Quantized | Int8Form:
    """Bring *model* into its own form in 8 bits, or where it has none round its linear layers."""
    return Int8Form(model) if hasattr(model, "in_int8") else Quantized(model)
