"""hibari's vocoder beside its formula, written with torch's own transforms."""

import math

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from synthesis_kit.networks.hibari_vocoder import FFT, HOP, SAMPLE_RATE, HibariVocoder

FRAMES, BINS, SEED = 70, 601, 5
HIGHEST_HZ, VOICED_HZ = 11000, 40


def train(pitch: Tensor) -> Tensor:
    """Return the harmonics of *pitch* one by one, the last of them faded in."""
    hertz = interpolate(pitch[None, None], scale_factor=HOP, mode="linear")[0, 0].double()
    phase = torch.cumsum(hertz.clamp(min=VOICED_HZ) / SAMPLE_RATE, 0) * (2 * math.pi)
    total = torch.zeros_like(phase)
    for harmonic in range(1, HIGHEST_HZ // VOICED_HZ + 1):
        share = (HIGHEST_HZ / hertz - (harmonic - 1)).clamp(0, 1)
        total += share * torch.cos(harmonic * phase)
    return torch.where(hertz > VOICED_HZ, total, 0.0).float()


@torch.inference_mode()
def test_samples_are_those_of_the_formula() -> None:
    drawn = torch.Generator().manual_seed(1)
    frames = torch.randn(FRAMES, 5 * BINS, generator=drawn)
    pitch = 180 + 30 * torch.randn(FRAMES, generator=drawn)
    pitch[20:30] = 0.0
    harmonic, theta, noise, free, phase = frames.chunk(5, dim=1)
    window = torch.hann_window(FFT)
    source = torch.stft(train(pitch), FFT, HOP, window=window, return_complex=True).T[:FRAMES]
    normal = torch.randn(FRAMES, BINS, 2, generator=torch.Generator().manual_seed(SEED))
    spectrum = source * torch.polar(harmonic.exp() / (FFT / 4), math.pi * theta.tanh())
    spectrum += noise.exp() * torch.view_as_complex(normal)
    spectrum += torch.polar(free.exp(), phase)
    wanted = torch.istft(spectrum.T, FFT, HOP, window=window, length=FRAMES * HOP)
    samples = HibariVocoder()(frames, pitch, SEED)
    assert (samples - wanted).abs().max() < 1e-3 * wanted.abs().max()
