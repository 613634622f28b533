"""Continues a text: networks that only write (GPT-2)."""

from text_kit.generation_settings import ContinuationParameters
from text_kit.writing_task import Prompt, WritingTask


class TextGeneration(WritingTask):
    """Answers `{generated_text}`: the given text and what follows it."""

    parameters = ContinuationParameters
    behind = True

    def room(self, tokens: int) -> int:
        """Return what the text leaves of the network's positions, which both share."""
        return self.checkpoint.longest - tokens

    def said(self, prompt: Prompt, written: str) -> str:
        """Return both texts, or the new one alone."""
        assert isinstance(prompt.asked, ContinuationParameters)
        return prompt.text + written if prompt.asked.return_full_text else written
