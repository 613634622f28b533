"""Continues a text: networks that only write (GPT-2)."""

from collections.abc import Sequence
from typing import Any

from handler_kit.job import Item
from handler_kit.pieces import PieceSender
from text_kit.checkpoint import TextCheckpoint
from text_kit.completion import Completion, Completions
from text_kit.generation_settings import ContinuationParameters
from text_kit.options import TextOptions
from text_kit.task import TaskOutput
from text_kit.writing_task import Prompt, WritingTask


class TextGeneration(WritingTask):
    """Answers `{generated_text}`: the given text and what follows it.  Or writes completions."""

    parameters = ContinuationParameters
    behind = True

    def __init__(self, checkpoint: TextCheckpoint, options: TextOptions) -> None:
        """Raise LoadError where the checkpoint does not fit the task."""
        super().__init__(checkpoint, options)
        self.completions = Completions(checkpoint, options, self.defaults, self.ends)

    def room(self, tokens: int) -> int:
        """Return what the text leaves of the network's positions, which both share."""
        return self.checkpoint.longest - tokens

    def said(self, prompt: Prompt, written: str) -> str:
        """Return both texts, or the new one alone."""
        assert isinstance(prompt.asked, ContinuationParameters)
        return prompt.text + written if prompt.asked.return_full_text else written

    def read_order(self, item: Item, pieces: PieceSender) -> Completion:
        """Return the completion that *item* orders.  Raises InvalidInput that names the field."""
        return self.completions.read(item.id, item.body, item.parameters, pieces)

    def plan(self, inputs: Sequence[Any]) -> list[list[int]]:
        """Group completions by themselves."""
        order = [place for place, one in enumerate(inputs) if isinstance(one, Completion)]
        others = [place for place, one in enumerate(inputs) if not isinstance(one, Completion)]
        return [
            *(
                [others[at] for at in members]
                for members in super().plan([inputs[place] for place in others])
            ),
            *(
                [order[at] for at in members]
                for members in self.completions.plan([inputs[place] for place in order])
            ),
        ]

    def run(self, network: Any, inputs: Sequence[Any]) -> TaskOutput:
        """Return what is written for *inputs*: completions all, or prompts with equal settings."""
        if isinstance(inputs[0], Completion):
            return self.completions.run(inputs)
        return super().run(network, inputs)

    def details(self) -> dict[str, Any]:
        """Return how long a text may be, and whether it can be a chat."""
        return {**super().details(), **self.completions.details()}
