"""Turns texts into labels, entities, filled masks or other texts, with hub checkpoints."""

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
import torch

from handler_kit.batch_handler import BatchHandler, ForwardPass
from handler_kit.config import HandlerConfig, parse_options
from handler_kit.errors import ItemError
from handler_kit.job import Answer, Item
from handler_kit.pieces import PieceSender
from handler_kit.precision import Compared
from handler_kit.text_input import read_text, sample_texts
from text_kit.completion import Completion
from text_kit.options import TextOptions
from text_kit.task import TaskOutput, load_task

COMPLETION = "completion"  # the type of items that are written in turns and sent in pieces


class TextHandler(BatchHandler[Any, list[Any], TaskOutput]):
    """Answers each text with its task's result as JSON.  `handler_options.task` names the task."""

    compared_as: ClassVar[Compared] = "logits"
    item_types: ClassVar[frozenset[str]] = frozenset({"json", COMPLETION})
    options: TextOptions
    _pieces: PieceSender

    def handle(self, rows: list[dict[str, Any]], context: Any) -> list[Any]:
        """Return one answer per row.  Pieces of completions are sent before that."""
        self._pieces = PieceSender(context)
        return super().handle(rows, context)

    def read_options(self, config: HandlerConfig) -> TextOptions:
        """Return the task and its limits."""
        return parse_options(config, TextOptions)

    def load_model(self) -> torch.nn.Module:
        """Load the archive's network, if it fits the task."""
        self._task = load_task(self.folder, self.device, self.options)
        return self._task.network

    def value_of(self, item: Item) -> object:
        """Return the item's JSON, or the completion to write.  Raises InvalidInput."""
        if item.type != COMPLETION:
            return super().value_of(item)
        return self._task.read_order(item, self._pieces)

    def decode(self, value: object, parameters: dict[str, Any]) -> Any:
        """Return the text of a string or of an object {text, parameters}; "" is refused."""
        if isinstance(value, Completion):
            return value
        return self._task.read(*read_text(value, parameters, self.options.max_characters))

    def plan(self, inputs: Sequence[Any]) -> list[ForwardPass[list[Any]]]:
        """Return the passes that the task groups its inputs into."""
        return [
            ForwardPass(places, [inputs[place] for place in places])
            for places in self._task.plan(inputs)
        ]

    def forward(self, batch: list[Any]) -> TaskOutput:
        """Return the answers, in order."""
        return self._task.run(self.model, batch)

    def encode(self, outputs: TaskOutput) -> Sequence[Answer | ItemError]:
        """Return each answer as JSON."""
        return [
            answer if isinstance(answer, ItemError) else Answer(body=msgspec.json.encode(answer))
            for answer in outputs.finite_answers
        ]

    def compared(self, outputs: TaskOutput) -> list[torch.Tensor]:
        """Return the logits of each text."""
        return outputs.logits

    def samples(self, count: int) -> list[Any]:
        """Return texts of mixed lengths."""
        return list(self._task.probes(sample_texts(count)))

    def details(self) -> dict[str, Any]:
        """Return the largest length of a text."""
        return self._task.details()
