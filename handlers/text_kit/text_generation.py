"""A text that goes on: networks that only write (GPT-2)."""

from text_kit.generation_settings import ContinuationParameters
from text_kit.writing_task import Prompt, WritingTask


class TextGeneration(WritingTask):
    """Answers `{generated_text}`: what was given and what follows it."""

    parameters = ContinuationParameters
    behind = True

    def room(self, tokens: int) -> int:
        """What is read and what is written share the network's places."""
        return self.checkpoint.longest - tokens

    def said(self, prompt: Prompt, written: str) -> str:
        """Both, or the new text alone."""
        assert isinstance(prompt.asked, ContinuationParameters)
        return prompt.text + written if prompt.asked.return_full_text else written
