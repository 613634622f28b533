"""A transformer for texts, loaded from a folder, and the choice of how to batch its texts."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from transformers import (
    AttentionInterface,
    AutoConfig,
    AutoModel,
    AutoModelForTextEncoding,
)
from transformers.utils.logging import disable_progress_bar

from handler_kit.errors import LoadError
from handler_kit.hub_checkpoint import FROM_FOLDER
from handler_kit.packed_attention import PackedAttention
from handler_kit.precision import cosine_of
from handler_kit.text_batching import Batching, Hidden, PackedBatching, PaddedBatching, Tokens

log = logging.getLogger(__name__)

MIN_COSINE = 0.9999
MAX_DIFFERENCE = 1e-4  # of a hidden state in fp32; layer norms keep them near 1
TIMED_RUNS = 3
HALVED = {"t5", "mt5", "umt5"}  # only their encoder is used


def load_encoder(folder: Path, device: torch.device) -> torch.nn.Module:
    """Load the folder's model in fp32 on *device*, from safetensors only.  Raises LoadError."""
    disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        config = AutoConfig.from_pretrained(folder, **FROM_FOLDER)
        kind = AutoModelForTextEncoding if config.model_type in HALVED else AutoModel
        model = kind.from_pretrained(
            folder, **FROM_FOLDER, use_safetensors=True, dtype=torch.float32
        )
    except Exception as exc:
        raise LoadError(f"cannot load the model: {exc}") from exc
    encoder: torch.nn.Module = model.eval().to(device)
    return encoder


def longest_text(asked: int | None, tokenizer: Any, model: Any) -> int:
    """Return the largest number of tokens of a text.  *asked* is the value of the option.

    Raises LoadError if *asked* is more than the tokenizer or the model accepts.
    """
    positions = getattr(model.config, "max_position_embeddings", None)
    possible = min(tokenizer.model_max_length, positions or tokenizer.model_max_length)
    if asked is not None and asked > possible:
        raise LoadError(
            f"max_length: must be at most {possible}, the longest text of this model, not {asked}"
        )
    return asked or int(possible)


class KeptBatching(msgspec.Struct, frozen=True):
    """The stored choice: the *first_position* of packed texts, or None if texts are padded."""

    first_position: int | None

    @classmethod
    def of(cls, batching: Batching) -> "KeptBatching":
        """Return the form in which to store *batching*."""
        return cls(batching.first_position if isinstance(batching, PackedBatching) else None)


class BatchingChoice:
    """Decides at load, by trying, how to batch texts of different lengths for *model*.

    *compiled* says that torch.compile may follow, which must not compile our attention; all texts
    of a pass are then in one row.
    """

    def __init__(
        self, model: Any, pad_token: int, device: torch.device, *, compiled: bool = False
    ) -> None:
        self.model = model
        self.pad_token = pad_token
        self.device = device
        self.compiled = compiled
        self.own_attention = model.config._attn_implementation  # noqa: SLF001 - there is no public name

    def choose(self, wanted: str, samples: Sequence[Tokens], *, timed: bool) -> Batching:
        """Return packed batching if it does not change results and, if *timed*, is faster.

        Otherwise padded batching.  Raises LoadError if *wanted* is "packed" and packing fails.
        """
        padded = PaddedBatching(self.pad_token)
        if wanted == "padded":
            return padded
        expected = padded.run(self.model, samples, self.device)
        padded_seconds = self.seconds_for(padded, samples) if timed else math.inf
        packed = self._find_packed(samples, expected)
        if packed is None and wanted == "packed":
            raise LoadError(
                "batching: packed does not work with this model's attention; use auto or padded"
            )
        if packed and (
            wanted == "packed" or not timed or self.seconds_for(packed, samples) < padded_seconds
        ):
            return packed
        self.model.set_attn_implementation(self.own_attention)
        return padded

    def repeat(self, kept: KeptBatching) -> Batching:
        """Return the batching that an earlier `choose` returned for the same model."""
        if kept.first_position is None:
            return PaddedBatching(self.pad_token)
        return PackedBatching(self._attend_packed(), kept.first_position, one_row=self.compiled)

    def _attend_packed(self) -> PackedAttention:
        """Replace the model's attention by one for packed texts."""
        attention = PackedAttention()
        attend: Callable[..., Any] = attention.__call__
        if self.compiled:
            attend = torch.compiler.disable(attend)  # type: ignore[no-untyped-call]
        AttentionInterface.register(attention.name, attend)
        self.model.set_attn_implementation(attention.name)
        return attention

    def _find_packed(self, samples: Sequence[Tokens], expected: Hidden) -> PackedBatching | None:
        """Return a packing with the *expected* results.  Positions start at 0 or after the pad.

        Positions that the model does not have are not tried: on a GPU they would break the device.
        """
        attention = self._attend_packed()
        longest = max(len(text) for text in samples)
        positions = getattr(self.model.config, "max_position_embeddings", None) or math.inf
        for first_position in (0, self.pad_token + 1):
            if first_position + longest > positions:
                continue
            packed = PackedBatching(attention, first_position, one_row=self.compiled)
            if self._is_equal(packed, samples, expected):
                return packed
        return None

    def _is_equal(self, packed: Batching, samples: Sequence[Tokens], expected: Hidden) -> bool:
        try:
            states = packed.run(self.model, samples, self.device).states
        except Exception as exc:  # noqa: BLE001 - any error means that this model cannot
            log.info("texts cannot be packed: %s", exc)
            return False
        return (
            cosine_of(states, expected.states) >= MIN_COSINE
            and float((states - expected.states).abs().max()) <= MAX_DIFFERENCE
        )

    def seconds_for(self, batching: Batching, samples: Sequence[Tokens]) -> float:
        """Return the time of the fastest of a few runs, in seconds."""
        durations = []
        for _ in range(TIMED_RUNS):
            started = time.perf_counter()
            batching.run(self.model, samples, self.device).states.cpu()
            durations.append(time.perf_counter() - started)
        return min(durations)
