"""Whisper's encoder and decoder, run with caches that are allocated once and never copied.

The modules are those of transformers.  Only the decoding step is our own, because on a small model
a step of `generate` costs more than the network itself.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.nn.functional import gelu, pad, scaled_dot_product_attention

from handler_kit.int8 import Int8Linear


class KeysValues(NamedTuple):
    """Keys and values of one attention layer: [rows, heads, positions, head size] each.

    *mask* [rows, 1, 1, positions] is added to the scores if rows differ in their positions: it is 0
    within a row and −∞ after its end.
    """

    keys: torch.Tensor
    values: torch.Tensor
    mask: torch.Tensor | None = None

    def take(self, rows: torch.Tensor) -> "KeysValues":
        """Return the keys and values of *rows*."""
        mask = None if self.mask is None else self.mask[rows]
        return KeysValues(self.keys[rows], self.values[rows], mask)

    def row(self, place: int, positions: int) -> "KeysValues":
        """Return only the row *place*, with its first *positions*."""
        alone = (slice(place, place + 1), slice(None), slice(positions))
        return KeysValues(self.keys[alone], self.values[alone])


def joined(parts: Sequence[KeysValues], order: Sequence[int]) -> KeysValues:
    """Return the rows of all *parts* in *order*, padded to the same number of positions."""
    if len(parts) == 1:
        return parts[0]
    positions = [part.keys.shape[2] for part in parts]
    longest = max(positions)
    mask = parts[0].keys.new_zeros((len(order), 1, 1, longest), dtype=torch.float32)
    first = 0
    for part, count in zip(parts, positions, strict=True):
        mask[first : first + len(part.keys), :, :, count:] = -torch.inf
        first += len(part.keys)
    padded = [
        (pad(part.keys, padding), pad(part.values, padding))
        for part, padding in zip(
            parts, ((0, 0, 0, longest - count) for count in positions), strict=True
        )
    ]
    keys, values = (torch.cat(each) for each in zip(*padded, strict=True))
    return KeysValues(keys, values, mask).take(torch.tensor(order, device=keys.device))


class DecoderCache:
    """The decoder's keys and values of the audio and of its own tokens.

    *heard* has one row per clip.  *said* has one row per hypothesis, of which each clip has the
    same number, and room for the largest number of tokens.
    """

    def __init__(self, heard: list[KeysValues], said: list[KeysValues]) -> None:
        self.heard = heard
        self.said = said
        self.length = 0

    def keep(self, clips: torch.Tensor) -> None:
        """Keep only the rows of *clips*.  Each clip must have one hypothesis."""
        self.heard = [layer.take(clips) for layer in self.heard]
        self.reorder(clips)

    def reorder(self, rows: torch.Tensor) -> None:
        """Move the hypothesis in row rows[i] to row i."""
        self.said = [layer.take(rows) for layer in self.said]


class WhisperNetwork(torch.nn.Module):
    """Encodes spectrograms when called, and decodes step by step.  *whisper* has the weights."""

    def __init__(self, whisper: Any) -> None:
        super().__init__()
        self.encoder = whisper.model.encoder
        self.decoder = whisper.model.decoder
        self.width: int = whisper.config.d_model
        embedding = self.decoder.embed_tokens
        tokens, width = embedding.weight.shape
        self.vocabulary = torch.nn.Linear(width, tokens, bias=False, device="meta")
        self.vocabulary.weight = embedding.weight

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """Encode *mel* [clips, bins, frames] to states [clips, frames / 2, width]."""
        encoder = self.encoder
        states = gelu(encoder.conv2(gelu(encoder.conv1(mel)))).transpose(1, 2)
        states = states + encoder.embed_positions.weight[: states.shape[1]]
        for layer in encoder.layers:
            states = layer(states, None)
        normed: torch.Tensor = encoder.layer_norm(states)
        return normed

    def encoder_keys_values(self, states: torch.Tensor) -> list[KeysValues]:
        """Return the keys and values of *states* [clips, positions, width], by decoder layer."""
        # Of an int8 model in bf16: a step spends its time on reading these, and bf16 halves the
        # bytes without adding to the error.
        dtype = torch.bfloat16 if isinstance(self.vocabulary, Int8Linear) else states.dtype
        return [
            KeysValues(
                _heads(layer.encoder_attn, layer.encoder_attn.k_proj(states))
                .to(dtype)
                .contiguous(),
                _heads(layer.encoder_attn, layer.encoder_attn.v_proj(states))
                .to(dtype)
                .contiguous(),
            )
            for layer in self.decoder.layers
        ]

    def cache(self, heard: list[KeysValues], hypotheses: int, positions: int) -> DecoderCache:
        """Return an empty cache with room for *positions* tokens of *hypotheses* per clip."""
        said = []
        weight = self.decoder.embed_tokens.weight
        for layer in heard:
            clips, heads, _, size = layer.keys.shape
            shape = (clips * hypotheses, heads, positions, size)
            said.append(KeysValues(weight.new_empty(shape), weight.new_empty(shape)))
        return DecoderCache(heard, said)

    def step(
        self,
        tokens: torch.Tensor,
        cache: DecoderCache,
        watched: Sequence[tuple[int, int]] = (),
        seen: list[torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Return the states [rows, tokens, width] of *tokens* [rows, tokens] and extend *cache*.

        Several tokens are possible only with an empty cache.  For each of *watched* (layer, head),
        the head's attention scores [rows, tokens, positions] are appended to *seen*, in float32.
        """
        start, end = cache.length, cache.length + tokens.shape[1]
        decoder = self.decoder
        states = decoder.embed_tokens(tokens) + decoder.embed_positions.weight[start:end]
        for number, layer in enumerate(decoder.layers):
            normed = layer.self_attn_layer_norm(states)
            said = cache.said[number]
            states = states + _attend_said(layer.self_attn, normed, said, start, end)
            normed = layer.encoder_attn_layer_norm(states)
            heard = cache.heard[number]
            states = states + _attend_heard(layer.encoder_attn, normed, heard)
            if seen is not None:
                heads = [head for at, head in watched if at == number]
                seen += _scores(layer.encoder_attn, normed, heard, heads)
            normed = layer.final_layer_norm(states)
            states = states + layer.fc2(layer.activation_fn(layer.fc1(normed)))
        cache.length = end
        last: torch.Tensor = decoder.layer_norm(states)
        return last

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """Return the logits [rows, vocabulary] of decoder *states* [rows, width], in float32."""
        logits: torch.Tensor = self.vocabulary(states)
        return logits.float()


def _heads(attention: Any, states: torch.Tensor) -> torch.Tensor:
    """Return [rows, positions, width] as [rows, heads, positions, head size]."""
    rows, positions, _ = states.shape
    return states.view(rows, positions, attention.num_heads, attention.head_dim).transpose(1, 2)


def _attend_said(
    attention: Any, states: torch.Tensor, said: KeysValues, start: int, end: int
) -> torch.Tensor:
    said.keys[:, :, start:end] = _heads(attention, attention.k_proj(states))
    said.values[:, :, start:end] = _heads(attention, attention.v_proj(states))
    attended = scaled_dot_product_attention(
        _heads(attention, attention.q_proj(states)),
        said.keys[:, :, :end],
        said.values[:, :, :end],
        is_causal=end - start > 1,
    )
    projected: torch.Tensor = attention.out_proj(attended.transpose(1, 2).reshape(states.shape))
    return projected


def _attend_heard(attention: Any, states: torch.Tensor, heard: KeysValues) -> torch.Tensor:
    """Attend to the audio.  The hypotheses of a clip are queries to the same keys, not copies."""
    clips = len(heard.keys)
    queries = _heads(attention, attention.q_proj(states).view(clips, -1, states.shape[2]))
    if heard.keys.dtype == torch.bfloat16 and heard.keys.device.type == "cpu":
        attended = _attend_in_bf16(queries, heard)
    else:
        mask = None if heard.mask is None else heard.mask.to(queries.dtype)
        attended = scaled_dot_product_attention(queries, heard.keys, heard.values, mask)
    projected: torch.Tensor = attention.out_proj(attended.transpose(1, 2).reshape(states.shape))
    return projected


def _attend_in_bf16(queries: torch.Tensor, heard: KeysValues) -> torch.Tensor:
    """Compute attention on a CPU: for the one query of a step, torch's own is 8 times slower."""
    scale = 1 / math.sqrt(queries.shape[-1])
    scores = torch.matmul(queries.to(heard.keys.dtype), heard.keys.transpose(2, 3)).float()
    scores *= scale
    if heard.mask is not None:
        scores += heard.mask
    weights = scores.softmax(dim=-1).to(heard.values.dtype)
    return torch.matmul(weights, heard.values).to(queries.dtype)


def _scores(
    attention: Any, states: torch.Tensor, heard: KeysValues, heads: Sequence[int]
) -> list[torch.Tensor]:
    """Return the attention scores of *heads* before the softmax, [rows, tokens, positions] each."""
    queries = _heads(attention, attention.q_proj(states))
    scores = torch.matmul(queries.to(heard.keys.dtype), heard.keys.transpose(2, 3))
    scores = scores.float() * attention.scaling
    return [scores[:, head] for head in heads]
