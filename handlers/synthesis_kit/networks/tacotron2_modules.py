"""Tacotron 2 (https://arxiv.org/abs/1712.05884), with the names and shapes of NVIDIA's weights.

Theirs: DeepLearningExamples, PyTorch/SpeechSynthesis/Tacotron2, `tacotron2/model.py`.  Masks keep a
batch's members apart; what the prenet drops is drawn by the caller.
"""

from itertools import pairwise
from typing import NamedTuple

import msgspec
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

MINUS_INFINITY = -1e20


class Tacotron2Config(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes; the defaults are those of the published LJSpeech weights."""

    n_symbols: int = 148
    symbols_embedding_dim: int = 512
    encoder_kernel_size: int = 5
    encoder_n_convolutions: int = 3
    n_mel_channels: int = 80
    prenet_dim: int = 256
    attention_rnn_dim: int = 1024
    decoder_rnn_dim: int = 1024
    attention_dim: int = 128
    attention_location_n_filters: int = 32
    attention_location_kernel_size: int = 31
    postnet_embedding_dim: int = 512
    postnet_kernel_size: int = 5
    postnet_n_convolutions: int = 5
    gate_threshold: float = 0.5
    max_decoder_steps: int = 2000


class LinearNorm(nn.Module):
    """A linear layer, by the name that the weights have."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__()
        self.linear_layer = nn.Linear(inputs, outputs, bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map […, inputs] to […, outputs]."""
        result: Tensor = self.linear_layer(hidden)
        return result


class ConvNorm(nn.Module):
    """A convolution that keeps the length, by the name that the weights have."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, bias: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2, bias=bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map [n, inputs, length] to [n, outputs, length]."""
        result: Tensor = self.conv(hidden)
        return result


def _normed(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(ConvNorm(inputs, outputs, kernel), nn.BatchNorm1d(outputs))


class Encoder(nn.Module):
    """Symbols to what the decoder attends to."""

    def __init__(self, config: Tacotron2Config) -> None:
        super().__init__()
        width = config.symbols_embedding_dim
        self.convolutions = nn.ModuleList(
            _normed(width, width, config.encoder_kernel_size)
            for _ in range(config.encoder_n_convolutions)
        )
        self.lstm = nn.LSTM(width, width // 2, 1, batch_first=True, bidirectional=True)

    def forward(self, embedded: Tensor, lengths: Tensor, mask: Tensor) -> Tensor:
        """Map [n, width, longest] to [n, longest, width].

        *lengths* must be on the CPU; *mask* is [n, longest].
        """
        hidden = embedded * mask[:, None]
        for convolution in self.convolutions:
            hidden = torch.relu(convolution(hidden)) * mask[:, None]
        packed = pack_padded_sequence(
            hidden.transpose(1, 2), lengths, batch_first=True, enforce_sorted=False
        )
        memory, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        return memory


class LocationLayer(nn.Module):
    """Where the decoder has looked so far."""

    def __init__(self, config: Tacotron2Config) -> None:
        super().__init__()
        filters = config.attention_location_n_filters
        self.location_conv = ConvNorm(2, filters, config.attention_location_kernel_size, bias=False)
        self.location_dense = LinearNorm(filters, config.attention_dim, bias=False)

    def forward(self, weights: Tensor) -> Tensor:
        """Map [n, 2, longest] to [n, longest, attention size]."""
        result: Tensor = self.location_dense(self.location_conv(weights).transpose(1, 2))
        return result


class Attention(nn.Module):
    """Location-sensitive attention."""

    def __init__(self, config: Tacotron2Config) -> None:
        super().__init__()
        size = config.attention_dim
        self.query_layer = LinearNorm(config.attention_rnn_dim, size, bias=False)
        self.memory_layer = LinearNorm(config.symbols_embedding_dim, size, bias=False)
        self.v = LinearNorm(size, 1, bias=False)
        self.location_layer = LocationLayer(config)

    def forward(self, query: Tensor, keys: Tensor, weights: Tensor, mask: Tensor) -> Tensor:
        """Return the next weights [n, longest]; *keys* is the memory layer's [n, longest, size]."""
        hidden = self.query_layer(query)[:, None] + self.location_layer(weights) + keys
        energies = self.v(torch.tanh(hidden))[..., 0]
        return torch.softmax(energies.masked_fill(mask == 0, MINUS_INFINITY), dim=1)


class Prenet(nn.Module):
    """Layers whose dropout is never switched off: it is what makes the voice vary."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            LinearNorm(before, width, bias=False) for before in (inputs, width)
        )

    def forward(self, frame: Tensor, kept: Tensor) -> Tensor:
        """Map [n, mels] to [n, width]; *kept* [layers, n, width] is 2 or 0."""
        for layer, own in zip(self.layers, kept, strict=True):
            frame = torch.relu(layer(frame)) * own
        return frame


class State(NamedTuple):
    """What the decoder remembers between two frames."""

    frame: Tensor
    attention: tuple[Tensor, Tensor]
    decoder: tuple[Tensor, Tensor]
    weights: Tensor
    summed: Tensor
    context: Tensor


class Decoder(nn.Module):
    """One frame after another."""

    def __init__(self, config: Tacotron2Config) -> None:
        super().__init__()
        width, memory = config.prenet_dim, config.symbols_embedding_dim
        self.sizes = (config.n_mel_channels, config.attention_rnn_dim, config.decoder_rnn_dim)
        self.prenet = Prenet(config.n_mel_channels, width)
        self.attention_rnn = nn.LSTMCell(width + memory, config.attention_rnn_dim)
        self.attention_layer = Attention(config)
        self.decoder_rnn = nn.LSTMCell(config.attention_rnn_dim + memory, config.decoder_rnn_dim)
        heard = config.decoder_rnn_dim + memory
        self.linear_projection = LinearNorm(heard, config.n_mel_channels)
        self.gate_layer = LinearNorm(heard, 1)

    def start(self, memory: Tensor) -> State:
        """Return the state before the first frame."""
        n, longest, width = memory.shape
        mels, attention, decoder = (memory.new_zeros(n, size) for size in self.sizes)
        nothing = memory.new_zeros(n, longest)
        return State(
            mels,
            (attention, attention),
            (decoder, decoder),
            nothing,
            nothing,
            memory.new_zeros(n, width),
        )

    def forward(
        self, state: State, memory: Tensor, keys: Tensor, mask: Tensor, kept: Tensor
    ) -> tuple[State, Tensor]:
        """Return the next frame, in the state, and the probability [n] that it is the last."""
        inputs = torch.cat([self.prenet(state.frame, kept), state.context], 1)
        attention = self.attention_rnn(inputs, state.attention)
        seen = torch.stack([state.weights, state.summed], 1)
        weights = self.attention_layer(attention[0], keys, seen, mask)
        context = torch.bmm(weights[:, None], memory)[:, 0]
        decoder = self.decoder_rnn(torch.cat([attention[0], context], 1), state.decoder)
        heard = torch.cat([decoder[0], context], 1)
        frame = self.linear_projection(heard)
        after = State(frame, attention, decoder, weights, state.summed + weights, context)
        return after, torch.sigmoid(self.gate_layer(heard)[:, 0])


class Postnet(nn.Module):
    """Refines a spectrogram."""

    def __init__(self, config: Tacotron2Config) -> None:
        super().__init__()
        count = config.postnet_n_convolutions
        widths = [
            config.n_mel_channels,
            *[config.postnet_embedding_dim] * (count - 1),
            config.n_mel_channels,
        ]
        self.convolutions = nn.ModuleList(
            _normed(before, after, config.postnet_kernel_size) for before, after in pairwise(widths)
        )

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Map [n, mels, frames] to the same shape."""
        hidden = spectrogram
        for convolution in self.convolutions[:-1]:
            hidden = torch.tanh(convolution(hidden))
        result: Tensor = self.convolutions[-1](hidden)
        return result


class Tacotron2(nn.Module):
    """The parts, by the names that the weights have."""

    def __init__(self, config: Tacotron2Config) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.n_symbols, config.symbols_embedding_dim)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.postnet = Postnet(config)
