"""Turns a text into another one, with encoder-decoder networks (BART, T5).

Whether that is a summary, a translation or an answer depends on their training.
"""

from text_kit.generation_settings import GenerationParameters
from text_kit.writing_task import Prompt, WritingTask


class Text2TextGeneration(WritingTask):
    """Answers `{generated_text}`."""

    parameters = GenerationParameters
    behind = False

    def room(self, tokens: int) -> int:  # noqa: ARG002 - the encoder has positions of its own
        """Return the number of positions of the decoder, without that of the start token."""
        places = getattr(self.checkpoint.network.config, "max_position_embeddings", None)
        return int(places or self.options.max_pass_tokens) - 1

    def said(self, prompt: Prompt, written: str) -> str:  # noqa: ARG002 - the interface of all tasks
        """Return the new text."""
        return written.strip()

    def own_prefix(self) -> str:
        """Return the prefix that T5's checkpoints expect before a text to summarise."""
        known = getattr(self.checkpoint.network.config, "task_specific_params", None) or {}
        return str(known.get(self.options.task, {}).get("prefix") or "")
