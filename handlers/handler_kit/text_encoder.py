"""A transformer that reads texts, from its archive's folder, and how its texts are batched."""

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
MAX_DIFFERENCE = 1e-4  # of one hidden state, in fp32; layer norms keep them near 1
TIMED_RUNS = 3
HALVED = {"t5", "mt5", "umt5"}  # of which the encoder alone reads texts


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
    """Return how many tokens one text may have; *asked* is what the options say.

    Raises LoadError when that is more than the tokenizer or the model takes.
    """
    positions = getattr(model.config, "max_position_embeddings", None)
    possible = min(tokenizer.model_max_length, positions or tokenizer.model_max_length)
    if asked is not None and asked > possible:
        raise LoadError(
            f"max_length: must be at most {possible}, the longest text of this model, not {asked}"
        )
    return asked or int(possible)


class KeptBatching(msgspec.Struct, frozen=True):
    """A choice as it is kept: the *first_position* of packed texts, None where they are padded."""

    first_position: int | None

    @classmethod
    def of(cls, batching: Batching) -> "KeptBatching":
        """Return what to keep of *batching*."""
        return cls(batching.first_position if isinstance(batching, PackedBatching) else None)


class BatchingChoice:
    """Decides at load, by trying, how *model* takes texts of different lengths.

    *compiled* says that torch.compile may follow: it must leave our attention alone.
    """

    def __init__(
        self, model: Any, pad_token: int, device: torch.device, *, compiled: bool = False
    ) -> None:
        self.model = model
        self.pad_token = pad_token
        self.device = device
        self.compiled = compiled
        self.own_attention = model.config._attn_implementation  # noqa: SLF001 - has no other name

    def choose(self, wanted: str, samples: Sequence[Tokens], *, timed: bool) -> Batching:
        """Return packed batching where it changes no result and, if *timed*, is faster.

        Otherwise padded.  Raises LoadError when *wanted* is "packed" and the model cannot pack.
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
        """Return the batching that `choose` returned for the same model before."""
        if kept.first_position is None:
            return PaddedBatching(self.pad_token)
        return PackedBatching(self._attend_packed(), kept.first_position)

    def _attend_packed(self) -> PackedAttention:
        """Give the model an attention that takes packed texts."""
        attention = PackedAttention()
        attend: Callable[..., Any] = attention.__call__
        if self.compiled:
            attend = torch.compiler.disable(attend)  # type: ignore[no-untyped-call]
        AttentionInterface.register(attention.name, attend)
        self.model.set_attn_implementation(attention.name)
        return attention

    def _find_packed(self, samples: Sequence[Tokens], expected: Hidden) -> PackedBatching | None:
        """Return a packing that answers as *expected*; its positions count from 0 or after the pad.

        Positions that the model lacks are not tried: on a GPU they would break the device.
        """
        attention = self._attend_packed()
        longest = max(len(text) for text in samples)
        positions = getattr(self.model.config, "max_position_embeddings", None) or math.inf
        for first_position in (0, self.pad_token + 1):
            if first_position + longest > positions:
                continue
            packed = PackedBatching(attention, first_position)
            if self._is_equal(packed, samples, expected):
                return packed
        return None

    def _is_equal(self, packed: Batching, samples: Sequence[Tokens], expected: Hidden) -> bool:
        try:
            states = packed.run(self.model, samples, self.device).states
        except Exception as exc:  # noqa: BLE001 - whatever it is, this model cannot
            log.info("texts cannot be packed: %s", exc)
            return False
        return (
            cosine_of(states, expected.states) >= MIN_COSINE
            and float((states - expected.states).abs().max()) <= MAX_DIFFERENCE
        )

    def seconds_for(self, batching: Batching, samples: Sequence[Tokens]) -> float:
        """Return the seconds of the quickest of a few runs."""
        durations = []
        for _ in range(TIMED_RUNS):
            started = time.perf_counter()
            batching.run(self.model, samples, self.device).states.cpu()
            durations.append(time.perf_counter() - started)
        return min(durations)
