"""Makes one text from another: networks that first read and then write (BART, T5).

Whether that is a summary, a translation or an answer depends on what they were trained for.
"""

from text_kit.generation_settings import GenerationParameters
from text_kit.writing_task import Prompt, WritingTask


class Text2TextGeneration(WritingTask):
    """Answers `{generated_text}`."""

    parameters = GenerationParameters
    behind = False

    def room(self, tokens: int) -> int:  # noqa: ARG002 - what was read has places of its own
        """Return the network's positions, except the one to begin with."""
        places = getattr(self.checkpoint.network.config, "max_position_embeddings", None)
        return int(places or self.options.max_pass_tokens) - 1

    def said(self, prompt: Prompt, written: str) -> str:  # noqa: ARG002 - the rule of all tasks
        """Return what was written."""
        return written.strip()

    def own_prefix(self) -> str:
        """Return what T5's checkpoints expect before a text that is to be summarised."""
        known = getattr(self.checkpoint.network.config, "task_specific_params", None) or {}
        return str(known.get(self.options.task, {}).get("prefix") or "")
