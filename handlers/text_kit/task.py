"""What the handler asks of any task."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch

from handler_kit.errors import InvalidInput


class Outcome(NamedTuple):
    """What one pass came to, an entry for each member, in order.

    *answers* become JSON; *logits* are what the network said, in fp32 on the CPU.
    """

    answers: list[Any]
    logits: list[torch.Tensor]

    @property
    def finite_answers(self) -> list[Any]:
        """*answers*, each with an error in its place where the network said no number."""
        return [
            answer
            if torch.isfinite(logits).all()
            else InvalidInput("The model's answer to this input is not a finite number")
            for answer, logits in zip(self.answers, self.logits, strict=True)
        ]


class Task(Protocol):
    """One way to answer a text.  What `read` makes is `plan`'s and `run`'s own."""

    @property
    def network(self) -> torch.nn.Module:
        """The module that runs, on its device."""

    def read(self, text: str, parameters: dict[str, Any]) -> Any:
        """One input.  Raises InvalidInput naming the parameter, or saying what is too long."""

    def plan(self, inputs: Sequence[Any]) -> list[list[int]]:
        """The places of the inputs that share a pass."""

    def run(self, network: Any, inputs: Sequence[Any]) -> Outcome:
        """One pass with *network*, which is the task's own, compiled or not."""

    def probes(self, texts: Sequence[str]) -> Sequence[Any]:
        """Inputs made of *texts*, cut to what the network takes."""

    def details(self) -> dict[str, Any]:
        """What `describe` tells of it."""
