"""Convolutions over time whose channels lie side by side in memory, as a CPU's kernels want them.

torch has that layout for pictures only: a convolution over time is laid out by channel, whatever
its input is.  So a line of samples is treated as a picture of height 1.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d

LAYOUT = torch.channels_last


def lay_channels_last(model: nn.Module) -> None:
    """Replace the convolutions over time within *model*, but for grouped ones, which gain nothing.

    Their outputs, float32 or bfloat16, are those of the original but for rounding.
    """
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, (nn.Conv1d, nn.ConvTranspose1d)) and child.groups == 1:
                setattr(parent, name, ChannelsLast(child))


class ChannelsLast(nn.Module):
    """The convolution *original* on [n, channels, length], whatever the layout of its input."""

    def __init__(self, original: nn.Conv1d | nn.ConvTranspose1d) -> None:
        super().__init__()
        picture = original.weight.data[:, :, None].contiguous(memory_format=LAYOUT)
        self.weight = nn.Parameter(picture, requires_grad=False)
        self.bias = original.bias
        self._transposed = isinstance(original, nn.ConvTranspose1d)
        self._stride = (1, *original.stride)
        self._padding = (0, *original.padding)
        self._dilation = (1, *original.dilation)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the convolution of *inputs*."""
        picture = inputs[:, :, None].contiguous(memory_format=LAYOUT)
        if self._transposed:
            made = conv_transpose2d(
                picture,
                self.weight,
                self.bias,
                self._stride,
                self._padding,
                dilation=self._dilation,
            )
        else:
            made = conv2d(
                picture, self.weight, self.bias, self._stride, self._padding, self._dilation
            )
        return made[:, :, 0]
