"""A text checkpoint: network, tokenizer, and the longest text that it accepts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoConfig, AutoTokenizer

from handler_kit.errors import InvalidInput, LoadError
from handler_kit.hub_checkpoint import FROM_FOLDER, load_model, load_tokenizer
from handler_kit.text_encoder import longest_text
from text_kit.head import fitting_head
from text_kit.options import TextOptions


class TextCheckpoint(NamedTuple):
    """A network and its tokenizer.  A text can have at most *longest* tokens."""

    network: Any
    tokenizer: Any
    longest: int

    @property
    def device(self) -> torch.device:
        """The device of the network."""
        device: torch.device = self.network.device
        return device

    def check_length(self, ids: Sequence[int]) -> None:
        """Raise InvalidInput for a text without tokens, or with more than *longest*."""
        if not ids:
            raise InvalidInput("The text contains nothing that the model can read")
        if len(ids) > self.longest:
            raise InvalidInput(
                f"The text has {len(ids)} tokens; at most {self.longest} are allowed"
            )


def load_checkpoint(folder: Path, device: torch.device, options: TextOptions) -> TextCheckpoint:
    """Load the checkpoint in *folder* in fp32 onto *device*, if it suits the task.

    Raises LoadError.
    """
    try:
        config = AutoConfig.from_pretrained(folder, **FROM_FOLDER)
    except Exception as exc:
        raise LoadError(f"cannot load the model: config.json: {exc}") from exc
    head = fitting_head(options.task, config)
    tokenizer = load_tokenizer(AutoTokenizer, folder)
    network = load_model(head.kind, folder, device)
    _set_pad_token(tokenizer, network)
    longest = min(
        longest_text(options.max_length, tokenizer, network),
        options.max_pass_tokens,
        _positions(network) or options.max_pass_tokens,
    )
    return TextCheckpoint(network, tokenizer, longest)


def _set_pad_token(tokenizer: Any, network: Any) -> None:
    """Choose a pad token if there is none (GPT-2).  As padding is masked, any token will do."""
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token_id is None:
        raise LoadError("the tokenizer has no pad token and no other token to use instead")
    if network.config.pad_token_id is None:
        network.config.pad_token_id = tokenizer.pad_token_id


def _positions(network: Any) -> int | None:
    """Return the number of positions after the pad token (RoBERTa), or None."""
    for module in network.modules():
        table = getattr(module, "position_embeddings", None)
        if isinstance(table, torch.nn.Embedding) and table.padding_idx is not None:
            return table.num_embeddings - table.padding_idx - 1
    return None
