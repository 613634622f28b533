"""Piper's decoder: HiFi-GAN with ResBlock2 (https://arxiv.org/abs/2010.05646)."""

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu
from transformers import VitsConfig

EDGE_KERNEL = 7  # of the first and the last convolution


class PiperDecoder(nn.Module):
    """Latent spectrograms to samples; a frame becomes *hop* samples.

    What is more than *reach* frames away is not heard in a sample.
    """

    def __init__(self, config: VitsConfig) -> None:
        super().__init__()
        channels, self._slope = config.upsample_initial_channel, config.leaky_relu_slope
        self._rates = tuple(config.upsample_rates)
        self._kernels = len(config.resblock_kernel_sizes)
        self.conv_pre = nn.Conv1d(config.flow_size, channels, EDGE_KERNEL, padding=EDGE_KERNEL // 2)
        self.upsampler, self.resblocks = nn.ModuleList(), nn.ModuleList()
        for rate, kernel in zip(self._rates, config.upsample_kernel_sizes, strict=True):
            self.upsampler.append(
                nn.ConvTranspose1d(
                    channels, channels // 2, kernel, stride=rate, padding=(kernel - rate) // 2
                )
            )
            channels //= 2
            self.resblocks += (
                ResidualBlock(channels, width, dilations, self._slope)
                for width, dilations in zip(
                    config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True
                )
            )
        self.conv_post = nn.Conv1d(channels, 1, EDGE_KERNEL, padding=EDGE_KERNEL // 2, bias=False)
        self.hop = math.prod(self._rates)
        self.reach = _reach(config)

    def forward(self, spectrograms: Tensor, mask: Tensor | None) -> Tensor:
        """Return [n, samples] in float32, −1 to 1, of *spectrograms* [n, flow size, frames].

        *mask* is [n, 1, frames], or None where all are equally long.  After each layer, what does
        not belong to an utterance is set to the zeros that the layer's padding would be, so that
        the others' lengths are not heard in its last samples.
        """
        inner = next(self.upsampler.parameters()).dtype
        hidden = self.conv_pre(spectrograms).to(inner)
        mask = None if mask is None else mask.to(inner)
        for stage, rate in enumerate(self._rates):
            hidden = leaky_relu(_masked(hidden, mask), self._slope)
            hidden = self.upsampler[stage](hidden)
            mask = None if mask is None else mask.repeat_interleave(rate, 2)
            hidden = _masked(hidden, mask)
            blocks = self.resblocks[stage * self._kernels : (stage + 1) * self._kernels]
            summed = blocks[0](hidden, mask)
            for block in blocks[1:]:
                summed += block(hidden, mask)
            hidden = summed.div_(self._kernels)
        samples: Tensor = self.conv_post(leaky_relu(hidden.float(), inplace=True))[:, 0]
        return samples.tanh_()

    def in_bf16(self) -> "PiperDecoder":
        """Return a copy in bfloat16, but for the first and the last layer, which cost little."""
        rounded = copy.deepcopy(self)
        rounded.upsampler.to(torch.bfloat16)
        rounded.resblocks.to(torch.bfloat16)
        return rounded


class ResidualBlock(nn.Module):
    """One convolution per dilation."""

    def __init__(self, channels: int, kernel: int, dilations: list[int], slope: float) -> None:
        super().__init__()
        self.slope = slope
        self.convs = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, dilation=each, padding=(kernel - 1) * each // 2)
            for each in dilations
        )

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """Map [n, channels, samples] to the same; both are 0 where *mask* [n, 1, samples] is."""
        for conv in self.convs:
            change = conv(leaky_relu(hidden, self.slope))
            hidden = change.add_(hidden) if mask is None else hidden.addcmul(change, mask)
        return hidden


def _masked(hidden: Tensor, mask: Tensor | None) -> Tensor:
    return hidden if mask is None else hidden * mask


def _reach(config: VitsConfig) -> int:
    """Return how many frames on either side of its own are heard in a sample, at most."""
    frames, rate = float(EDGE_KERNEL // 2), 1
    block = max(
        sum((kernel - 1) * each // 2 for each in dilations)
        for kernel, dilations in zip(
            config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True
        )
    )
    for factor, kernel in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
        frames += math.ceil(kernel / (2 * factor)) / rate
        rate *= factor
        frames += block / rate
    return math.ceil(frames + EDGE_KERNEL // 2 / rate)
