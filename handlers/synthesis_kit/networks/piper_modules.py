"""A Piper voice: transformers' VITS with Piper's own residual blocks, and noise from outside.

VITS: https://arxiv.org/abs/2106.06103.  What is never run to speak (posterior encoder, the first
flow of the durations) is left out, and so is weight norm: the checkpoint has it folded.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu
from torch.nn.utils import parametrize
from transformers import VitsConfig, VitsModel

from synthesis_kit.networks.vits_batch import MOST_FRAMES

_TRAINING = ("post_conv_pre", "post_conv_proj", "post_conv_dds", "post_flows")
_NEVER_RUN = 1  # of the durations' flows: original VITS drops it too, as useless


class ResidualBlock(nn.Module):
    """One convolution per dilation: ResBlock2 of HiFi-GAN (https://arxiv.org/abs/2010.05646)."""

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
            hidden = hidden + change if mask is None else torch.addcmul(hidden, change, mask)
        return hidden


class Prior(NamedTuple):
    """What the text says of the sound: [n, length, flow size] each, and *hidden*, for durations."""

    hidden: Tensor
    means: Tensor
    log_deviations: Tensor


class PiperVits(VitsModel):  # type: ignore[no-untyped-call]
    """The steps of `speak`, each for a batch; a mask is [n, 1, length] or [n, 1, frames].

    *noise_scale*, *noise_scale_duration* and *speaking_rate* are the checkpoint's, and may be set.
    """

    def __init__(self, config: VitsConfig) -> None:
        super().__init__(config)
        del self.posterior_encoder
        for name in _TRAINING:
            delattr(self.duration_predictor, name)
        self.duration_predictor.flows[_NEVER_RUN] = nn.Identity()
        self.decoder.resblocks = nn.ModuleList(
            ResidualBlock(
                config.upsample_initial_channel >> stage, kernel, dilations, config.leaky_relu_slope
            )
            for stage in range(1, len(config.upsample_rates) + 1)
            for kernel, dilations in zip(
                config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True
            )
        )
        for module in self.modules():
            if parametrize.is_parametrized(module, "weight"):
                parametrize.remove_parametrizations(module, "weight")

    def prior(self, symbols: Tensor, mask: Tensor) -> Prior:
        """Return the prior of *symbols* [n, length]."""
        encoded = self.text_encoder(
            symbols, padding_mask=mask.transpose(1, 2), attention_mask=mask[:, 0].long()
        )
        return Prior(encoded.last_hidden_state, encoded.prior_means, encoded.prior_log_variances)

    def durations(self, hidden: Tensor, mask: Tensor, noise: Tensor) -> Tensor:
        """Return frames per symbol [n, length], not yet whole; *noise* is [n, 2, length], normal.

        The durations' flow runs backwards, as in `VitsStochasticDurationPredictor`.
        """
        predictor = self.duration_predictor
        condition = predictor.conv_dds(predictor.conv_pre(hidden.transpose(1, 2)), mask)
        condition = predictor.conv_proj(condition) * mask
        latents = noise * self.noise_scale_duration
        for place in range(len(predictor.flows) - 1, -1, -1):
            if place != _NEVER_RUN:
                latents = torch.flip(latents, [1])
                flow = predictor.flows[place]
                latents, _ = flow(latents, mask, global_conditioning=condition, reverse=True)
        frames: Tensor = torch.exp(latents[:, 0]).clamp(max=MOST_FRAMES) * mask[:, 0]
        return frames

    def spectrograms(
        self, means: Tensor, log_deviations: Tensor, mask: Tensor, noise: Tensor
    ) -> Tensor:
        """Return latent spectrograms [n, flow size, frames], the shape of all inputs but *mask*."""
        latents = means + noise * torch.exp(log_deviations) * self.noise_scale
        result: Tensor = self.flow(latents, mask, reverse=True) * mask
        return result

    def samples(self, spectrograms: Tensor, mask: Tensor | None) -> Tensor:
        """Return [n, samples], −1 to 1, of *spectrograms* [n, flow size, frames].

        `VitsHifiGan` with a mask (None: all are equally long).  After each layer, what does not
        belong to an utterance is set to the zeros that the layer's padding would be, so that the
        others' lengths are not heard in its last samples.
        """
        decoder = self.decoder
        kernels = len(self.config.resblock_kernel_sizes)
        hidden = _masked(decoder.conv_pre(spectrograms), mask)
        for stage, rate in enumerate(self.config.upsample_rates):
            hidden = decoder.upsampler[stage](leaky_relu(hidden, self.config.leaky_relu_slope))
            mask = None if mask is None else mask.repeat_interleave(rate, 2)
            hidden = _masked(hidden, mask)
            blocks = decoder.resblocks[stage * kernels : (stage + 1) * kernels]
            summed = blocks[0](hidden, mask)
            for block in blocks[1:]:
                summed = summed + block(hidden, mask)
            hidden = summed / kernels
        result: Tensor = torch.tanh(decoder.conv_post(leaky_relu(hidden)))[:, 0]
        return result


def _masked(hidden: Tensor, mask: Tensor | None) -> Tensor:
    return hidden if mask is None else hidden * mask
