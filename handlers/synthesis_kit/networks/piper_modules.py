"""A Piper voice: transformers' VITS with Piper's own decoder, and noise from outside.

VITS: https://arxiv.org/abs/2106.06103.  What is never run to speak (posterior encoder, the first
flow of the durations) is left out, and so is weight norm: the checkpoint has it folded.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from transformers import VitsConfig, VitsModel

from synthesis_kit.networks.piper_decoder import PiperDecoder
from synthesis_kit.networks.vits_batch import MOST_FRAMES

_TRAINING = ("post_conv_pre", "post_conv_proj", "post_conv_dds", "post_flows")
_NEVER_RUN = 1  # of the durations' flows: original VITS drops it too, as useless


class Prior(NamedTuple):
    """What the text says of the sound: [n, length, flow size] each, and *hidden*, for durations."""

    hidden: Tensor
    means: Tensor
    log_deviations: Tensor


class PiperVits(VitsModel):  # type: ignore[no-untyped-call]
    """The steps of `speak`, each for a batch; a mask is [n, 1, length] or [n, 1, frames].

    *noise_scale*, *noise_scale_duration* and *speaking_rate* are the checkpoint's, and may be set.
    *in_bf16* says that it was asked to be in bfloat16 (`handler_kit.own_form`): the decoder then
    is, and the rest, which says how long each symbol lasts, stays in fp32.
    """

    decoder: PiperDecoder  # type: ignore[assignment]

    def __init__(self, config: VitsConfig) -> None:
        super().__init__(config)
        del self.posterior_encoder
        for name in _TRAINING:
            delattr(self.duration_predictor, name)
        self.duration_predictor.flows[_NEVER_RUN] = nn.Identity()
        self.decoder = PiperDecoder(config)
        self._rounded: PiperDecoder | None = None
        self.flow_reach = sum(
            (config.wavenet_kernel_size - 1) // 2 * config.wavenet_dilation_rate**layer
            for layer in range(config.prior_encoder_num_wavenet_layers)
        )
        for module in self.modules():
            if parametrize.is_parametrized(module, "weight"):
                parametrize.remove_parametrizations(module, "weight")

    @property
    def in_bf16(self) -> bool:
        """Whether the decoder runs in bfloat16."""
        return self._rounded is not None

    @in_bf16.setter
    def in_bf16(self, wanted: bool) -> None:
        self._rounded = self.decoder.in_bf16() if wanted else None

    @property
    def decoder_in_use(self) -> PiperDecoder:
        """The decoder, in the precision that was asked for."""
        return self.decoder if self._rounded is None else self._rounded

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

    def latents(self, means: Tensor, log_deviations: Tensor, noise: Tensor) -> Tensor:
        """Return what the flow turns into spectrograms, in the shape of all inputs."""
        return means + noise * torch.exp(log_deviations) * self.noise_scale

    def spectrograms(self, latents: Tensor, mask: Tensor) -> Tensor:
        """Return latent spectrograms of *latents* [n, flow size, frames], in the same shape."""
        result: Tensor = self.flow(latents, mask, reverse=True) * mask
        return result

    def flow_step(self, step: int, latents: Tensor, mask: Tensor | None) -> Tensor:
        """Return *latents* after one step of the flow; `spectrograms` takes all, the last first.

        An output depends on *flow_reach* frames on either side.
        """
        if mask is None:
            mask = latents.new_ones(len(latents), 1, latents.shape[2])
        moved: Tensor = self.flow.flows[step](torch.flip(latents, [1]), mask, reverse=True)[0]
        return moved
