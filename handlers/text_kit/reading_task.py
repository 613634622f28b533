"""Tasks that read a text with one pass of the network."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import torch

from handler_kit.errors import InvalidInput
from handler_kit.job import Item
from handler_kit.pieces import PieceSender
from handler_kit.text_batching import PassSize, cut
from text_kit.checkpoint import TextCheckpoint
from text_kit.options import TextOptions
from text_kit.task import TaskOutput
from text_kit.token_rows import TokenRow, padded, row_of


class EncodedText(msgspec.Struct, frozen=True, kw_only=True):
    """A text as the rows that are needed to answer it, and its parameters."""

    text: str
    rows: tuple[TokenRow, ...]
    asked: Any

    @property
    def size(self) -> PassSize:
        """Its share of a pass."""
        return PassSize(max(len(row.ids) for row in self.rows), len(self.rows))


class ReadingTask(ABC):
    """A task that reads texts.  A subclass turns texts into rows, and logits into answers."""

    def __init__(self, checkpoint: TextCheckpoint, options: TextOptions) -> None:
        """Raise LoadError if the checkpoint does not suit the task."""
        self.checkpoint = checkpoint
        self.tokenizer = checkpoint.tokenizer
        self.config = checkpoint.network.config
        self.options = options
        known = inspect.signature(checkpoint.network.forward).parameters
        self._has_types = "token_type_ids" in known
        self._extra: dict[str, Any] = {"use_cache": False} if "use_cache" in known else {}

    @abstractmethod
    def read(self, text: str, parameters: dict[str, Any]) -> EncodedText:
        """Return the text's rows.  Raises InvalidInput."""

    @abstractmethod
    def answer(self, question: EncodedText, logits: Sequence[torch.Tensor]) -> Any:
        """Return the answer for *logits*, those of each row of *question*."""

    def probe(self, text: str) -> tuple[str, dict[str, Any]]:
        """Return *text* and parameters in a client's form, for checks and warm-up."""
        return text, {}

    @property
    def network(self) -> torch.nn.Module:
        """The checkpoint's network."""
        network: torch.nn.Module = self.checkpoint.network
        return network

    def read_order(self, item: Item, pieces: PieceSender) -> Any:  # noqa: ARG002 - text generation uses them
        """Raise InvalidInput: only text generation writes completions."""
        raise InvalidInput("This model does not write completions")

    def plan(self, inputs: Sequence[EncodedText]) -> list[list[int]]:
        """Return groups of questions of similar lengths, each within `max_pass_tokens`."""
        return cut([one.size for one in inputs], self.options.max_pass_tokens, padded=True)

    def run(self, network: Any, inputs: Sequence[EncodedText]) -> TaskOutput:
        """Return the answers.  A question with more rows than fit into a pass takes several."""
        rows = [row for question in inputs for row in question.rows]
        logits: dict[int, torch.Tensor] = {}
        for places in cut(
            [PassSize(len(row.ids)) for row in rows], self.options.max_pass_tokens, padded=True
        ):
            logits |= zip(places, self._logits(network, [rows[at] for at in places]), strict=True)
        ordered = iter([logits[at] for at in range(len(rows))])
        answers, said = [], []
        for question in inputs:
            own = [next(ordered) for _ in question.rows]
            answers.append(self.answer(question, own))
            said.append(torch.cat([one.flatten() for one in own]))
        return TaskOutput(answers, said)

    def probes(self, texts: Sequence[str]) -> list[EncodedText]:
        """Return *texts*, each shortened to what the network accepts."""
        return [question for text in texts for question in self._fitting(text)]

    def details(self) -> dict[str, Any]:
        """Return the largest length of a text."""
        return {"max_length": self.checkpoint.longest}

    def encoded(self, text: str, second: str | None = None, **how: Any) -> Any:
        """Return the tokenizer's encoding.  Raises InvalidInput if *text* is empty or too long."""
        if not text.strip():
            raise InvalidInput("The text is empty")
        encoding = self.tokenizer(
            text,
            second,
            return_attention_mask=False,
            return_token_type_ids=self._types,
            verbose=False,
            **how,
        )
        self.checkpoint.check_length(encoding["input_ids"])
        return encoding

    def row(self, encoding: Any) -> TokenRow:
        """Return *encoding* as a row for the network."""
        return row_of(encoding)

    def picked(self, logits: torch.Tensor, row: TokenRow) -> torch.Tensor:  # noqa: ARG002 - subclasses use it
        """Return the part of a row's *logits* that the answer needs, still on the device."""
        return logits

    @property
    def _types(self) -> bool:
        return self._has_types and "token_type_ids" in self.tokenizer.model_input_names

    def _fitting(self, text: str) -> Iterator[EncodedText]:
        """Yield the probe of *text*, shortened until it fits; nothing if no part of it does."""
        words = text.split()
        while words:
            with suppress(InvalidInput):
                yield self.read(*self.probe(" ".join(words)))
                return
            del words[len(words) * 3 // 4 :]

    def _logits(self, network: Any, rows: Sequence[TokenRow]) -> list[torch.Tensor]:
        batch = padded(rows, self.tokenizer.pad_token_id, self.checkpoint.device)
        logits = network(**batch, **self._extra).logits
        return [self.picked(one, row).float().cpu() for one, row in zip(logits, rows, strict=True)]
