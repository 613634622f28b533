"""What the handler asks of a task, and which task the options name."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch

from handler_kit.errors import InvalidInput
from handler_kit.job import Item
from handler_kit.pieces import PieceSender
from text_kit.checkpoint import load_checkpoint
from text_kit.options import TaskName, TextOptions

_CLASSES: dict[TaskName, tuple[str, str]] = {
    "text_classification": ("text_classification", "TextClassification"),
    "token_classification": ("token_classification", "TokenClassification"),
    "fill_mask": ("fill_mask", "FillMask"),
    "zero_shot_classification": ("zero_shot_classification", "ZeroShotClassification"),
    "text_ranking": ("text_ranking", "TextRanking"),
    "text_generation": ("text_generation", "TextGeneration"),
    "summarization": ("text2text_generation", "Text2TextGeneration"),
    "text2text_generation": ("text2text_generation", "Text2TextGeneration"),
}


class TaskOutput(NamedTuple):
    """What one pass computed, with one entry per member, in order.

    *answers* become JSON; *logits* are the network's, in fp32 on the CPU.
    """

    answers: list[Any]
    logits: list[torch.Tensor]

    @property
    def finite_answers(self) -> list[Any]:
        """*answers*, with an error in the place of each whose logits are not finite."""
        return [
            answer
            if torch.isfinite(logits).all()
            else InvalidInput("The model's answer to this input is not a finite number")
            for answer, logits in zip(self.answers, self.logits, strict=True)
        ]


class Task(Protocol):
    """One way to answer a text.  Only `plan` and `run` understand what `read` returns."""

    @property
    def network(self) -> torch.nn.Module:
        """The module that runs, on its device."""

    def read(self, text: str, parameters: dict[str, Any]) -> Any:
        """Return one input.  Raises InvalidInput naming the parameter, or what is too long."""

    def read_order(self, item: Item, pieces: PieceSender) -> Any:
        """Return the completion that *item* orders.  Raises InvalidInput where none is written."""

    def plan(self, inputs: Sequence[Any]) -> list[list[int]]:
        """Return the places of the inputs that share a pass."""

    def run(self, network: Any, inputs: Sequence[Any]) -> TaskOutput:
        """Run one pass with *network*, which is the task's own, compiled or not."""

    def probes(self, texts: Sequence[str]) -> Sequence[Any]:
        """Return inputs made of *texts*, cut to what the network takes."""

    def details(self) -> dict[str, Any]:
        """Return what `describe` tells of the task."""


def load_task(folder: Path, device: torch.device, options: TextOptions) -> Task:
    """Load the checkpoint in *folder*, from safetensors only, for the task that *options* name.

    Only that task's module is imported.  Raises LoadError where the checkpoint does not fit it.
    """
    module, name = _CLASSES[options.task]
    task_class = getattr(import_module(f"text_kit.{module}"), name)
    task: Task = task_class(load_checkpoint(folder, device, options), options)
    return task
