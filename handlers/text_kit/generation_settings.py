"""How a text is written: the client's parameters, with the checkpoint's values as defaults."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from transformers import GenerationConfig

from handler_kit.errors import InvalidInput

TOP_K = 50  # transformers' own default
_ONLY_SAMPLED = ("temperature", "top_p", "top_k")


class GenerationParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of one text.

    Without *do_sample* the most probable token is chosen or, with *num_beams* above 1, the most
    probable of several texts.  With it, tokens are sampled, starting from *seed*.
    """

    max_new_tokens: Annotated[int, Meta(ge=1)] | None = None
    """Most new tokens. null: as the checkpoint says, else 128, but no more than fit after the text.
    """
    min_new_tokens: Annotated[int, Meta(ge=0)] | None = None
    """Fewest new tokens. null: as the checkpoint says, else 0."""
    do_sample: bool = False
    """False: the most probable text; true: a sampled text."""
    temperature: Annotated[float, Meta(gt=0, le=100)] | None = None
    """With `do_sample`. null: as the checkpoint says, else 1."""
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    """With `do_sample`. null: as the checkpoint says, else 1."""
    top_k: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    """With `do_sample`; 0: no limit. null: as the checkpoint says, else 50."""
    repetition_penalty: Annotated[float, Meta(gt=0, le=100)] | None = None
    """Above 0. null: as the checkpoint says, else 1."""
    num_beams: Annotated[int, Meta(ge=1, le=16)] | None = None
    """1 to 16. null: as the checkpoint says, else 1."""
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    """The same seed gives the same text on the same device."""

    def __post_init__(self) -> None:
        for name in _ONLY_SAMPLED:
            if getattr(self, name) is not None and not self.do_sample:
                raise ValueError(f"{name} requires do_sample true")


class ContinuationParameters(GenerationParameters, frozen=True, kw_only=True):
    """With *return_full_text*, the answer begins with the given text."""

    return_full_text: bool = True


class GenerationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a text is written, without defaults.  Texts with equal settings share a pass."""

    max_new_tokens: int
    min_new_tokens: int
    num_beams: int
    repetition_penalty: float
    do_sample: bool
    temperature: float
    top_p: float
    top_k: int


class GenerationDefaults:
    """The values of `generation_config.json`, and *new_tokens*, the default if it has no length."""

    def __init__(self, network: Any, new_tokens: int, max_seconds: float) -> None:
        """Remove the lengths from *network*'s configuration, where they would override ours."""
        own = network.generation_config
        rewrites = network.config.is_encoder_decoder  # then lengths include the start token
        longest = own.max_length - 1 if rewrites and own.max_length else None
        shortest = own.min_length - 1 if rewrites and own.min_length else None
        self._max_new_tokens = int(own.max_new_tokens or longest or new_tokens)
        self._min_new_tokens = int(own.min_new_tokens or max(shortest or 0, 0))
        own.max_length = own.min_length = own.max_new_tokens = own.min_new_tokens = None
        self._max_seconds = max_seconds
        self._own = own

    def settings(self, asked: GenerationParameters, room: int) -> GenerationSettings:
        """Return *asked* with defaults.  Default lengths are reduced to fit into *room*."""
        own = self._own
        most = asked.max_new_tokens or min(self._max_new_tokens, room)
        least = asked.min_new_tokens
        sampled = asked.do_sample
        return GenerationSettings(
            max_new_tokens=most,
            min_new_tokens=min(self._min_new_tokens, most) if least is None else least,
            num_beams=asked.num_beams or own.num_beams or 1,
            repetition_penalty=asked.repetition_penalty or own.repetition_penalty or 1.0,
            do_sample=sampled,
            temperature=(asked.temperature or own.temperature or 1.0) if sampled else 1.0,
            top_p=(asked.top_p or own.top_p or 1.0) if sampled else 1.0,
            top_k=_first(asked.top_k, own.top_k, TOP_K) if sampled else TOP_K,
        )

    def config(self, settings: GenerationSettings, pad_token: int, *, logits: bool) -> Any:
        """Return *settings* for transformers, which adds the checkpoint's other values."""
        return GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=settings.max_new_tokens,
            min_new_tokens=settings.min_new_tokens,
            max_time=self._max_seconds,
            num_beams=settings.num_beams,
            repetition_penalty=settings.repetition_penalty,
            do_sample=settings.do_sample,
            temperature=settings.temperature,
            top_p=settings.top_p,
            top_k=settings.top_k,
            num_return_sequences=1,
            return_dict_in_generate=True,
            output_logits=logits,
            pad_token_id=pad_token,
        )


def check_work(settings: GenerationSettings, limit: int) -> None:
    """Raise InvalidInput if the new tokens of all beams together exceed *limit*."""
    if settings.num_beams * settings.max_new_tokens > limit:
        raise InvalidInput(
            f"num_beams: {settings.num_beams} beams of {settings.max_new_tokens} new tokens each "
            f"exceed the limit of {limit} tokens"
        )


def check_new_tokens(settings: GenerationSettings, limit: int, room: int, tokens: int) -> None:
    """Raise InvalidInput if *settings* allow more new tokens than *limit* or *room*."""
    most = settings.max_new_tokens
    if most > limit:
        raise InvalidInput(f"max_new_tokens: must be at most {limit}, not {most}")
    if most > room:
        raise InvalidInput(
            f"max_new_tokens: must be at most {room} after a text of {tokens} tokens, not {most}"
        )
    if settings.min_new_tokens > most:
        raise InvalidInput(f"min_new_tokens: must be at most {most}, not {settings.min_new_tokens}")


def _first(*values: int | None) -> int:
    return next(value for value in values if value is not None)
