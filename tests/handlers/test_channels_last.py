"""Convolutions over time, laid out as a CPU's kernels want them."""

import pytest
import torch
from torch import nn

from synthesis_kit.networks.channels_last import ChannelsLast, lay_channels_last


@pytest.mark.parametrize(
    "original",
    [
        nn.Conv1d(6, 4, 5, padding=2),
        nn.Conv1d(6, 4, 3, dilation=4, padding=4, bias=False),
        nn.Conv1d(6, 4, 4, stride=2),
        nn.ConvTranspose1d(6, 4, 8, stride=4, padding=2),
    ],
)
@torch.inference_mode()
def test_they_answer_as_the_original(original: nn.Conv1d | nn.ConvTranspose1d) -> None:
    model = nn.Sequential(original, nn.LeakyReLU())
    inputs = torch.randn(2, 6, 33, generator=torch.Generator().manual_seed(1))
    expected = model(inputs)
    lay_channels_last(model)
    assert type(model[0]) is ChannelsLast
    made = model(inputs)
    assert torch.allclose(made, expected, atol=1e-5)
    assert made.stride(1) == 1  # and so is what follows
    assert made.shape == expected.shape


def test_grouped_ones_are_left_as_they_are() -> None:
    model = nn.Sequential(nn.Conv1d(4, 4, 3, groups=4))
    lay_channels_last(model)
    assert type(model[0]) is nn.Conv1d
