"""Texts as rows of tokens, padded for a pass."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch


class TokenRow(NamedTuple):
    """The *ids* of a text's tokens.  *types* distinguish two texts if the network needs that."""

    ids: Sequence[int]
    types: Sequence[int] | None = None


def padded(
    rows: Sequence[TokenRow], pad_token: int, device: torch.device, *, left: bool = False
) -> dict[str, torch.Tensor]:
    """Return a network's inputs, [rows, longest].  With *left*, padding precedes the text."""
    longest = max(len(row.ids) for row in rows)

    def filled(one: Sequence[int], filling: int) -> list[int]:
        missing = [filling] * (longest - len(one))
        return [*missing, *one] if left else [*one, *missing]

    columns = {
        "input_ids": [filled(row.ids, pad_token) for row in rows],
        "attention_mask": [filled([1] * len(row.ids), 0) for row in rows],
    }
    if rows[0].types is not None:
        columns["token_type_ids"] = [filled(row.types or (), 0) for row in rows]
    return {name: torch.tensor(values, device=device) for name, values in columns.items()}


def row_of(encoding: Any) -> TokenRow:
    """Return the row for a tokenizer's *encoding* of one text."""
    return TokenRow(encoding["input_ids"], encoding.get("token_type_ids"))
