"""The ``handler_options`` of the text handler."""

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
    """The task of the network, and how much of it a client may use.

    *max_seconds* is needed because TorchServe kills a worker whose job exceeds its time limit.
    """

    task: TaskName
    """Required: one of the tasks of [Text](#text); other checkpoints are refused."""
    max_characters: Count = 100_000
    """Most characters of a text; longer ones are refused."""
    max_length: Annotated[int, Meta(ge=2)] | None = None
    """Most tokens of a text; longer ones are refused. null: the model's limit."""
    max_pass_tokens: Count = 4096
    """Most tokens in one forward pass, including padding and new tokens; also the most of one
    text."""
    max_labels: Count = 100
    """Most labels in a request."""
    activation: Literal["sigmoid", "identity"] | None = None
    """How the logit of a ranking becomes a score: `sigmoid` or `identity`. null: as the checkpoint
    says, else `sigmoid`."""
    prefix: str | None = None
    """Text put before each text that is to be rewritten or continued, such as T5's `summarize: `.
    null: the checkpoint's own."""
    default_new_tokens: Count = 128
    """Number of new tokens if neither the client nor the checkpoint gives one."""
    max_new_tokens: Count = 1024
    """Most new tokens that a client may ask for."""
    max_beam_tokens: Count = 2048
    """Most new tokens times beams."""
    max_seconds: Annotated[float, Meta(gt=0)] = 30.0
    """Longest time for writing one pass, in seconds; texts that have not ended by then get 400."""
    turn_seconds: Annotated[float, Meta(gt=0)] = 1.0
    """Time for which completions are written in one job, in seconds; those that have not ended by
    then return to the queue."""
