"""hibari's frames as samples: a pulse train through a filter, shaped noise, and a free part.

    S = exp(h) e^(iπ tanh θ) STFT(pulses(f0)) + exp(n) Z + exp(r) e^(iφ),   Z complex normal

and the inverse STFT of S (FFT length 1200, hop 300, Hann window, 24 kHz), as hibari-tts 0.2.1
defines it.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from synthesis_kit.networks.hibari_modules import HEADS, VOICED_HZ

SAMPLE_RATE = 24000
FFT, HOP = 1200, 300
HIGHEST_HZ = 11000.0  # the last harmonic
LOUDEST = 7.0  # of an exponent
NEAR_ZERO = 1e-9  # of a sine that is divided by


class HibariVocoder(nn.Module):
    """Speaks one utterance at a time: what a batch would gain here, padding would cost."""

    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(FFT), persistent=False)

    def forward(self, frames: Tensor, pitch: Tensor, seed: int) -> Tensor:
        """Return samples [frames × HOP].

        *frames* are [frames, HEADS × BINS], *pitch* is [frames] in Hz.  The noise is drawn on the
        CPU from *seed*, so that every device gives the same.
        """
        harmonic, theta, noise, free, phase = frames.chunk(HEADS, dim=1)
        source = torch.stft(
            pulses(pitch), FFT, HOP, window=self.window, center=True, return_complex=True
        ).transpose(0, 1)[: frames.shape[0]]
        spectrum = source * _polar(_exp(harmonic) / (FFT / 4), math.pi * torch.tanh(theta))
        spectrum += _noise(noise.shape, seed).to(noise.device) * _exp(noise)
        spectrum += _polar(_exp(free), phase)
        length = frames.shape[0] * HOP
        return torch.istft(
            spectrum.transpose(0, 1), FFT, HOP, window=self.window, center=True, length=length
        )


def pulses(pitch: Tensor) -> Tensor:
    """Return a pulse train [frames × HOP]: every harmonic of *pitch* [frames] below HIGHEST_HZ.

    The sum of cosines in closed form: Σ cos(ht) = sin((H + ½)t) / (2 sin(t/2)) − ½; 0 where a frame
    is unvoiced.  In double precision, and with a highest harmonic that fades in instead of being
    switched on: otherwise the rounding of a pitch, which differs between a batch and a single
    utterance, would be heard in single samples.
    """
    hertz = interpolate(pitch[None, None], scale_factor=HOP, mode="linear", align_corners=False)
    hertz = hertz[0, 0].double()
    voiced = hertz > VOICED_HZ
    hertz = hertz.clamp(min=VOICED_HZ)
    turns = torch.cumsum(hertz / SAMPLE_RATE, 0)
    phase = (turns - torch.round(turns)) * (2 * math.pi)
    harmonics = torch.floor(HIGHEST_HZ / hertz)
    fading = (HIGHEST_HZ / hertz - harmonics) * torch.cos((harmonics + 1) * phase)
    divisor = 2 * torch.sin(phase / 2)
    at_peak = divisor.abs() <= NEAR_ZERO
    ratio = torch.sin((harmonics + 0.5) * phase) / torch.where(at_peak, 1.0, divisor)
    train = torch.where(at_peak, harmonics + 0.5, ratio) - 0.5 + fading
    return torch.where(voiced, train, 0.0).float()


def _exp(values: Tensor) -> Tensor:
    return torch.exp(values.clamp(max=LOUDEST))


def _polar(length: Tensor, angle: Tensor) -> Tensor:
    """Return what `torch.polar` does, in less than half its time on a CPU."""
    return torch.complex(length * torch.cos(angle), length * torch.sin(angle))


def _noise(shape: torch.Size, seed: int) -> Tensor:
    drawn = torch.randn(*shape, 2, generator=torch.Generator().manual_seed(seed))
    return torch.view_as_complex(drawn)
