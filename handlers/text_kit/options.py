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

    *max_length*, in tokens, bounds what is read and written together where both share one row; null
    means the limit of the tokenizer and the network.  *max_pass_tokens* bounds a forward pass,
    padding included, and so one text.  *prefix* is put before each text; null means the
    checkpoint's own. *default_new_tokens* holds where neither the client nor the checkpoint gives a
    length. *max_beam_tokens* bounds new tokens times beams, *max_seconds* the writing of one pass:
    a job that exceeds its time limit would cost the worker.  *activation* turns the logit of a
    ranking into its score; null means the checkpoint's own, else sigmoid.
    """

    task: TaskName
    max_characters: Count = 100_000
    max_length: Annotated[int, Meta(ge=2)] | None = None
    max_pass_tokens: Count = 4096
    max_labels: Count = 100
    activation: Literal["sigmoid", "identity"] | None = None
    prefix: str | None = None
    default_new_tokens: Count = 128
    max_new_tokens: Count = 1024
    max_beam_tokens: Count = 2048
    max_seconds: Annotated[float, Meta(gt=0)] = 30.0
