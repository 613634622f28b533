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
    """One text as the rows that answer it, and what is asked of it."""

    text: str
    rows: tuple[TokenRow, ...]
    asked: Any

    @property
    def size(self) -> PassSize:
        """What it brings into a pass."""
        return PassSize(max(len(row.ids) for row in self.rows), len(self.rows))


class ReadingTask(ABC):
    """A task that reads.  A subclass says how a text becomes rows, and logits an answer."""

    def __init__(self, checkpoint: TextCheckpoint, options: TextOptions) -> None:
        """Raise LoadError where the checkpoint does not fit the task."""
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
        """Return the answer that *logits*, of each row of *question*, amount to."""

    def probe(self, text: str) -> tuple[str, dict[str, Any]]:
        """Return *text* and parameters as a client could send them, to check and warm up with."""
        return text, {}

    @property
    def network(self) -> torch.nn.Module:
        """The checkpoint's network."""
        network: torch.nn.Module = self.checkpoint.network
        return network

    def read_order(self, item: Item, pieces: PieceSender) -> Any:  # noqa: ARG002 - others do
        """Raise InvalidInput: text generation alone writes completions."""
        raise InvalidInput("This model writes no completions")

    def plan(self, inputs: Sequence[EncodedText]) -> list[list[int]]:
        """Return groups of questions of like lengths, each within `max_pass_tokens`."""
        return cut([one.size for one in inputs], self.options.max_pass_tokens, padded=True)

    def run(self, network: Any, inputs: Sequence[EncodedText]) -> TaskOutput:
        """Return the answers; a question whose own rows fill a pass takes several passes."""
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
        """Return *texts*, each cut to what the network takes."""
        return [question for text in texts for question in self._fitting(text)]

    def details(self) -> dict[str, Any]:
        """Return how long a text may be."""
        return {"max_length": self.checkpoint.longest}

    def encoded(self, text: str, second: str | None = None, **how: Any) -> Any:
        """Return the tokenizer's encoding.  Raises InvalidInput for too long or empty a text."""
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

    def picked(self, logits: torch.Tensor, row: TokenRow) -> torch.Tensor:  # noqa: ARG002 - others read it
        """Return what an answer needs of one row's *logits*, still on the device."""
        return logits

    @property
    def _types(self) -> bool:
        return self._has_types and "token_type_ids" in self.tokenizer.model_input_names

    def _fitting(self, text: str) -> Iterator[EncodedText]:
        """Yield the probe of *text*, shortened until it fits; none if nothing of it does."""
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
