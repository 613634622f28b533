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
    """The results of a pass, one for each member, in order.

    *answers* are encoded as JSON; *logits* are the network's, in fp32 on the CPU.
    """

    answers: list[Any]
    logits: list[torch.Tensor]

    @property
    def finite_answers(self) -> list[Any]:
        """*answers*, with an error instead of each whose logits are not finite."""
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
        """Return one input.  Raises InvalidInput naming the parameter, or the length exceeded."""

    def read_order(self, item: Item, pieces: PieceSender) -> Any:
        """Return the completion to write for *item*.  Raises InvalidInput if not supported."""

    def plan(self, inputs: Sequence[Any]) -> list[list[int]]:
        """Return the indices of the inputs that share a pass."""

    def run(self, network: Any, inputs: Sequence[Any]) -> TaskOutput:
        """Run one pass with *network*: the task's own, or its compiled form."""

    def probes(self, texts: Sequence[str]) -> Sequence[Any]:
        """Return inputs made of *texts*, shortened to what the network accepts."""

    def details(self) -> dict[str, Any]:
        """Return the facts about the task for `describe`."""


def load_task(folder: Path, device: torch.device, options: TextOptions) -> Task:
    """Load the checkpoint in *folder*, from safetensors only, for the task that *options* name.

    Only that task's module is imported.  Raises LoadError if the checkpoint does not suit it.
    """
    module, name = _CLASSES[options.task]
    task_class = getattr(import_module(f"text_kit.{module}"), name)
    task: Task = task_class(load_checkpoint(folder, device, options), options)
    return task
