"""hibari's network: phonemes to durations, pitch and energy, and from those to frames.

ConvNeXt blocks and a transformer layer that is applied repeatedly (Apache-2.0, distilled from
Kokoro-82M; the layout is that of hibari-tts 0.2.1).  A mask is 1 where a batch's member has symbols
or frames and 0 after its end: before every convolution that sees neighbours, what lies after the
end is set to 0, which is what a member alone has there.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, relu

BINS = 601  # of a spectrum: FFT length 1200
HEADS = 5  # harmonic loudness and phase, noise loudness, free loudness and phase
FRAMES_PER_STEP = 2  # durations count steps of 25 ms, the vocoder frames of 12.5 ms
MOST_STEPS = 80  # of one symbol, before its tempo: two seconds, more than anybody holds a sound
VOICED_HZ = 40.0  # below it a frame has no pitch


class ConvNeXtBlock(nn.Module):
    """[n, channels, time] to the same (https://arxiv.org/abs/2201.03545, in one dimension)."""

    def __init__(self, channels: int, hidden: int, kernel: int, dilation: int = 1) -> None:
        super().__init__()
        padding = dilation * (kernel - 1) // 2
        self.depthwise = nn.Conv1d(
            channels, channels, kernel, padding=padding, dilation=dilation, groups=channels
        )
        self.norm = nn.LayerNorm(channels)
        self.expand = nn.Linear(channels, hidden)
        self.contract = nn.Linear(hidden, channels)
        self.scale = nn.Parameter(torch.ones(channels))

    def forward(self, inputs: Tensor, mask: Tensor | None) -> Tensor:
        """Return the block's output; *mask* is [n, 1, time], or None where nothing is padded."""
        seen = inputs if mask is None else inputs * mask
        hidden = self.norm(self.depthwise(seen).transpose(1, 2))
        hidden = self.contract(gelu(self.expand(hidden)))
        result: Tensor = inputs + (self.scale * hidden).transpose(1, 2)
        return result


class TextEncoder(nn.Module):
    """Symbols [n, length] to [n, channels, length]; one layer's weights serve all *rounds*."""

    def __init__(self, symbols: int, channels: int, rounds: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, channels)
        self.blocks = nn.ModuleList(ConvNeXtBlock(channels, 2 * channels, 5) for _ in range(2))
        self.layer = nn.TransformerEncoderLayer(
            channels, 2, 2 * channels, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.norm = nn.LayerNorm(channels)
        self.rounds = rounds

    def forward(self, symbols: Tensor, mask: Tensor | None) -> Tensor:
        """Encode *symbols*; *mask* is [n, 1, length], or None where nothing is padded."""
        hidden = self.embedding(symbols).transpose(1, 2)
        for block in self.blocks:
            hidden = block(hidden, mask)
        hidden = hidden.transpose(1, 2)
        padding = None if mask is None else mask[:, 0] == 0
        for _ in range(self.rounds):
            hidden = self.layer(hidden, src_key_padding_mask=padding)
        result: Tensor = self.norm(hidden).transpose(1, 2)
        return result


class Contour(NamedTuple):
    """Pitch in Hz (below VOICED_HZ: unvoiced) and energy, per frame: [n, frames] each."""

    pitch: Tensor
    energy: Tensor


class EncodedTexts(NamedTuple):
    """What both text encoders make of symbols, and the logarithms of the steps that these take.

    [n, channels, length] twice, and [n, 1, length].
    """

    acoustic: Tensor
    prosodic: Tensor
    durations: Tensor


class HibariStages(Protocol):
    """The network in three stages; a mask is None where nothing is padded."""

    def texts(self, symbols: Tensor, mask: Tensor | None) -> EncodedTexts:
        """Encode *symbols* [n, length]."""

    def contours(self, text: Tensor, mask: Tensor | None) -> Tensor:
        """Return [n, 2 × FRAMES_PER_STEP, steps] for a prosodic *text* [n, channels, steps]."""

    def frames(self, inputs: Tensor, mask: Tensor | None) -> Tensor:
        """Return [n, frames, HEADS × BINS] for *inputs* as `frame_inputs` returns them."""


class ProsodyNetwork(nn.Module):
    """Predicts how long each symbol lasts, and the course of pitch and energy."""

    def __init__(self, symbols: int, channels: int = 192) -> None:
        super().__init__()
        self.text = TextEncoder(symbols, channels, rounds=6)
        self.duration = nn.Sequential(
            nn.Conv1d(channels, channels, 3, padding=1), nn.GELU(), nn.Conv1d(channels, 1, 1)
        )
        self.contour_input = nn.Conv1d(channels, channels, 1)
        self.contour_output = nn.Conv1d(channels, 2 * FRAMES_PER_STEP, 1)
        self.contour = nn.ModuleList(
            ConvNeXtBlock(channels, 2 * channels, 7, dilation) for dilation in (1, 2, 4, 8, 1, 2)
        )

    def contours(self, text: Tensor, mask: Tensor | None) -> Tensor:
        """Return the contours of *text*, each symbol repeated for its steps."""
        hidden = self.contour_input(text)
        for block in self.contour:
            hidden = block(hidden, mask)
        result: Tensor = self.contour_output(hidden)
        return result


class AcousticNetwork(nn.Module):
    """Turns symbols, pitch and energy into the vocoder's frames."""

    def __init__(self, symbols: int, channels: int = 128, hidden: int = 256) -> None:
        super().__init__()
        self.text = TextEncoder(symbols, channels, rounds=4)
        self.decoder_input = nn.Conv1d(channels + 2, hidden, 7, padding=3)
        self.decoder = nn.ModuleList(ConvNeXtBlock(hidden, 3 * hidden, 7) for _ in range(8))
        self.decoder_norm = nn.LayerNorm(hidden)
        self.head = nn.Linear(hidden, HEADS * BINS)

    def frames(self, inputs: Tensor, mask: Tensor | None) -> Tensor:
        """Return the frames of *inputs*."""
        hidden = self.decoder_input(inputs if mask is None else inputs * mask)
        for block in self.decoder:
            hidden = block(hidden, mask)
        result: Tensor = self.head(self.decoder_norm(hidden.transpose(1, 2)))
        return result


class HibariModules(nn.Module):
    """`HibariStages` in torch, with the parts that `model.safetensors` names.

    *in_int8* says that it was asked to be in int8 (`handler_kit.int8`): the network then runs the
    graphs in its place.
    """

    in_int8 = False

    def __init__(self, symbols: int) -> None:
        super().__init__()
        self.acoustic = AcousticNetwork(symbols)
        self.prosody = ProsodyNetwork(symbols)

    def texts(self, symbols: Tensor, mask: Tensor | None) -> EncodedTexts:
        """Encode *symbols* [n, length]."""
        acoustic, prosodic = self.acoustic.text(symbols, mask), self.prosody.text(symbols, mask)
        durations = self.prosody.duration(prosodic if mask is None else prosodic * mask)
        return EncodedTexts(acoustic, prosodic, durations)

    def contours(self, text: Tensor, mask: Tensor | None) -> Tensor:
        """Return the contours of a prosodic *text*."""
        return self.prosody.contours(text, mask)

    def frames(self, inputs: Tensor, mask: Tensor | None) -> Tensor:
        """Return the vocoder's frames."""
        return self.acoustic.frames(inputs, mask)


def steps_of(durations: Tensor, factors: Tensor) -> Tensor:
    """Return the steps per symbol [n, length], at least one; *factors* [n] stretch them.

    When stretching, the places where symbols end are rounded and not the durations: most of those
    are one or two steps, and a tempo would be lost in their rounding.  What a symbol takes beyond
    its share, to have one step, those after it give back.
    """
    steps = torch.round(torch.exp(durations[:, 0]) - 1).clamp(1, MOST_STEPS)
    ends = torch.round(torch.cumsum(steps, 1) * factors[:, None])
    least = torch.arange(1, steps.shape[1] + 1, device=steps.device)
    ends = (ends - least).clamp(min=0).cummax(1).values + least
    return torch.diff(ends, dim=1, prepend=torch.zeros_like(ends[:, :1])).long()


def contour_of(contours: Tensor) -> Contour:
    """Return pitch and energy per frame of what a network returned per step."""
    halves = contours.view(len(contours), 2, FRAMES_PER_STEP, -1)
    pitch, energy = halves.transpose(2, 3).flatten(2).unbind(1)
    return Contour(pitch * 100.0, energy * 5.0)


def frame_inputs(text: Tensor, contour: Contour) -> Tensor:
    """Return [n, channels + 2, frames]: acoustic *text* [n, channels, frames] and its contour."""
    pitch = torch.log1p(relu(contour.pitch))[:, None] / 5.0
    return torch.cat([text, pitch, contour.energy[:, None] / 5.0], 1)
