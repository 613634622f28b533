"""Attention over several texts in one row, each of which attends only to itself.

Padding a batch to its longest text wastes work; a packed row has no padding.  transformers allows
replacing a model's attention by name: this one splits the row into its texts.  Adjacent texts of
equal length share one call.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch.nn.functional import scaled_dot_product_attention

# Arguments of attention that depend on positions in the row.
REFUSED = ("position_bias", "sliding_window", "softcap", "s_aux")


class EqualLengths(NamedTuple):
    """*texts* adjacent texts of *tokens* tokens each."""

    texts: int
    tokens: int


class CannotPack(RuntimeError):
    """The model needs more than plain attention, so its texts cannot share a row."""


def runs_of(lengths: Sequence[int]) -> list[EqualLengths]:
    """Return the runs of equal numbers in *lengths*."""
    return [EqualLengths(len(list(group)), length) for length, group in groupby(lengths)]


class _CurrentRow(threading.local):
    """The runs of the row that the current thread works on."""

    runs: Sequence[EqualLengths] = ()


class PackedAttention:
    """An attention function for transformers' AttentionInterface, for one model.

    The runs are set before a pass, not passed through the model: not every model forwards unknown
    arguments, and a compiled one would be recompiled for every mixture of lengths.  Each thread
    has its own.
    """

    def __init__(self) -> None:
        self.name = f"packed_{id(self):x}"
        self._row = _CurrentRow()

    @contextmanager
    def packing(self, lengths: Sequence[int]) -> Iterator[None]:
        """Declare that within this context the thread's row has texts of *lengths*, in order."""
        self._row.runs = runs_of(lengths)
        try:
            yield
        finally:
            self._row.runs = ()

    def __call__(
        self,
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        scaling: float | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, None]:
        """Attend: query, key and value [1, heads, tokens, size] to [1, tokens, heads, size].

        Raises CannotPack if the model needs more than plain attention.
        """
        asked = [name for name in REFUSED if kwargs.get(name) is not None]
        if attention_mask is not None or asked:
            raise CannotPack(f"the attention needs {asked or 'a mask'}")
        rows = [tensor.squeeze(0).transpose(0, 1) for tensor in (query, key, value)]
        is_causal = bool(getattr(module, "is_causal", False))
        enable_gqa = query.shape[1] != key.shape[1]
        result = torch.empty_like(rows[0], memory_format=torch.contiguous_format)
        start = 0
        for run in self._row.runs:
            end = start + run.texts * run.tokens
            queries, keys, values = (
                row[start:end].view(run.texts, run.tokens, *row.shape[1:]).transpose(1, 2)
                for row in rows
            )
            attended = scaled_dot_product_attention(
                queries,
                keys,
                values,
                is_causal=is_causal,
                scale=scaling,
                enable_gqa=enable_gqa,
            )
            result[start:end] = attended.transpose(1, 2).flatten(0, 1)
            start = end
        return result.unsqueeze(0), None
