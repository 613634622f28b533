"""A text made of another: networks that read first and write then (BART, T5).

Whether that is a summary, a translation or an answer is a matter of what they were trained for.
"""

from text_kit.generation_settings import GenerationParameters
from text_kit.writing_task import Prompt, WritingTask


class Text2TextGeneration(WritingTask):
    """Answers `{generated_text}`."""

    parameters = GenerationParameters
    behind = False

    def room(self, tokens: int) -> int:  # noqa: ARG002 - what was read has places of its own
        """As many places as the network has, but for the one to begin with."""
        places = getattr(self.checkpoint.network.config, "max_position_embeddings", None)
        return int(places or self.options.max_pass_tokens) - 1

    def said(self, prompt: Prompt, written: str) -> str:  # noqa: ARG002 - the rule of all tasks
        """What was written."""
        return written.strip()

    def own_prefix(self) -> str:
        """T5's checkpoints say what they want to read before a text that is to be summarised."""
        known = getattr(self.checkpoint.network.config, "task_specific_params", None) or {}
        return str(known.get(self.options.task, {}).get("prefix") or "")
