"""Texts as rows of tokens, and several of one length for a pass."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch


class TokenRow(NamedTuple):
    """The *ids* of one text's tokens; *types* tell two texts apart where the network needs it."""

    ids: Sequence[int]
    types: Sequence[int] | None = None


def padded(
    rows: Sequence[TokenRow], pad_token: int, device: torch.device, *, left: bool = False
) -> dict[str, torch.Tensor]:
    """Return a network's inputs, [rows, longest]; *left* pads before a text, not after it."""
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
    """Return the row of one text's *encoding* by a tokenizer."""
    return TokenRow(encoding["input_ids"], encoding.get("token_type_ids"))
