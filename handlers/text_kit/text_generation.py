"""Continues a text, with decoder-only networks (GPT-2)."""

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
    """Answers `{generated_text}`, the given text and its continuation; or writes completions."""

    parameters = ContinuationParameters
    behind = True

    def __init__(self, checkpoint: TextCheckpoint, options: TextOptions) -> None:
        """Raise LoadError if the checkpoint does not suit the task."""
        super().__init__(checkpoint, options)
        self.completions = Completions(checkpoint, options, self.defaults, self.ends)

    def room(self, tokens: int) -> int:
        """Return the number of positions that the text leaves for the continuation."""
        return self.checkpoint.longest - tokens

    def said(self, prompt: Prompt, written: str) -> str:
        """Return both texts, or only the new one."""
        assert isinstance(prompt.asked, ContinuationParameters)
        return prompt.text + written if prompt.asked.return_full_text else written

    def read_order(self, item: Item, pieces: PieceSender) -> Completion:
        """Return the completion to write for *item*.  Raises InvalidInput naming the field."""
        return self.completions.read(item.id, item.body, item.parameters, pieces)

    def plan(self, inputs: Sequence[Any]) -> list[list[int]]:
        """Return groups in which completions are separate from other inputs."""
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
        """Return the texts for *inputs*: only completions, or only prompts with equal settings."""
        if isinstance(inputs[0], Completion):
            return self.completions.run(inputs)
        return super().run(network, inputs)

    def details(self) -> dict[str, Any]:
        """Return the largest length of a text, and whether chats are supported."""
        return {**super().details(), **self.completions.details()}
