"""What a client may ask of a text that is to be written."""

from typing import Annotated

import msgspec
from msgspec import Meta

from handler_kit.errors import InvalidInput

_ONLY_SAMPLED = ("temperature", "top_p", "top_k")


class GenerationParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One text's parameters; null asks the checkpoint.

    Without *do_sample* the likeliest token is taken, or with *num_beams* above 1 the likeliest of
    several texts; with it tokens are drawn, from *seed* on.  *top_k* 0: among all tokens.
    """

    max_new_tokens: Annotated[int, Meta(ge=1)] | None = None
    min_new_tokens: Annotated[int, Meta(ge=0)] | None = None
    do_sample: bool = False
    temperature: Annotated[float, Meta(gt=0, le=100)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    repetition_penalty: Annotated[float, Meta(gt=0, le=100)] | None = None
    num_beams: Annotated[int, Meta(ge=1, le=16)] | None = None
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0

    def __post_init__(self) -> None:
        for name in _ONLY_SAMPLED:
            if getattr(self, name) is not None and not self.do_sample:
                raise ValueError(f"{name} needs do_sample true")


class ContinuationParameters(GenerationParameters, frozen=True, kw_only=True):
    """*return_full_text*: what was given stands before what was written."""

    return_full_text: bool = True


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How a text is written, with nothing left open; texts with equal ones share a pass."""

    max_new_tokens: int
    min_new_tokens: int
    num_beams: int
    repetition_penalty: float
    do_sample: bool
    temperature: float
    top_p: float
    top_k: int


def check_work(settings: Settings, limit: int) -> None:
    """Raises InvalidInput where *settings* ask for more tokens in all their beams than *limit*."""
    if settings.num_beams * settings.max_new_tokens > limit:
        raise InvalidInput(
            f"num_beams: {settings.num_beams} times {settings.max_new_tokens} new tokens, "
            f"the limit is {limit}"
        )


def check_new_tokens(settings: Settings, limit: int, room: int, tokens: int) -> None:
    """Raises InvalidInput where *settings* ask for more tokens than there may be, or than fit."""
    most = settings.max_new_tokens
    if most > limit:
        raise InvalidInput(f"max_new_tokens: {most}, the limit is {limit}")
    if most > room:
        raise InvalidInput(
            f"max_new_tokens: {most}, behind a text of {tokens} tokens there is room for {room}"
        )
    if settings.min_new_tokens > most:
        raise InvalidInput(f"min_new_tokens: {settings.min_new_tokens} is more than {most}")
