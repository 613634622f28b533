"""What ``handler_options`` may say for the text handler."""

from typing import Annotated, Literal

from msgspec import Meta

from handler_kit.options import Count, HandlerOptions

TaskName = Literal[
    "text_classification",
    "token_classification",
    "fill_mask",
    "zero_shot_classification",
    "text_ranking",
    "text_generation",
    "summarization",
    "text2text_generation",
]


class TextOptions(HandlerOptions, frozen=True, kw_only=True):
    """What the network is for, and how much of it one client may use.

    A job that exceeds its time limit would cost the worker, hence *max_seconds*.
    """

    task: TaskName
    """Needed: one of the tasks of [Text](#text); a checkpoint that cannot do it is not loaded."""
    max_characters: Count = 100_000
    """Most characters of a text; longer ones are refused."""
    max_length: Annotated[int, Meta(ge=2)] | None = None
    """Most tokens of a text; longer ones are refused. null: the model's limit."""
    max_pass_tokens: Count = 4096
    """Most tokens in one forward pass, including padding and what will be written; also the most of
    one text."""
    max_labels: Count = 100
    """Most labels that a client may bring."""
    activation: Literal["sigmoid", "identity"] | None = None
    """What turns the logit of a ranking into its score: `sigmoid` or `identity`. null: as the
    checkpoint says, else `sigmoid`."""
    prefix: str | None = None
    """Text put before each text that is to be rewritten or continued, such as T5's `summarize: `.
    null: the checkpoint's own."""
    default_new_tokens: Count = 128
    """Length of what is written where neither the client nor the checkpoint gives one."""
    max_new_tokens: Count = 1024
    """Most new tokens that a client may ask for."""
    max_beam_tokens: Count = 2048
    """Most new tokens times beams."""
    max_seconds: Annotated[float, Meta(gt=0)] = 30.0
    """Longest time to write one pass, in seconds; a text that has not ended by then gets 400."""
    turn_seconds: Annotated[float, Meta(gt=0)] = 1.0
    """How long completions are written in one job, in seconds; those that have not ended by then
    wait in the queue again."""
