"""What a checkpoint asks of the texts that it writes, where the client says nothing."""

from typing import Any

from transformers import GenerationConfig

from text_kit.generation_parameters import GenerationParameters, Settings

TOP_K = 50  # transformers' own default


class GenerationDefaults:
    """`generation_config.json`, and for lengths that neither knows, *new_tokens*."""

    def __init__(self, network: Any, new_tokens: int, max_seconds: float) -> None:
        """Takes the lengths out of *network*'s own configuration: with ours they would be two."""
        own = network.generation_config
        rewrites = network.config.is_encoder_decoder  # then lengths count one token to begin with
        longest = own.max_length - 1 if rewrites and own.max_length else None
        shortest = own.min_length - 1 if rewrites and own.min_length else None
        self._max_new_tokens = int(own.max_new_tokens or longest or new_tokens)
        self._min_new_tokens = int(own.min_new_tokens or max(shortest or 0, 0))
        own.max_length = own.min_length = own.max_new_tokens = own.min_new_tokens = None
        self._max_seconds = max_seconds
        self._own = own

    def settings(self, asked: GenerationParameters, room: int) -> Settings:
        """*asked* with all that it leaves open; what the client did not ask for fits *room*."""
        own = self._own
        most = asked.max_new_tokens or min(self._max_new_tokens, room)
        least = asked.min_new_tokens
        sampled = asked.do_sample
        return Settings(
            max_new_tokens=most,
            min_new_tokens=min(self._min_new_tokens, most) if least is None else least,
            num_beams=asked.num_beams or own.num_beams or 1,
            repetition_penalty=asked.repetition_penalty or own.repetition_penalty or 1.0,
            do_sample=sampled,
            temperature=(asked.temperature or own.temperature or 1.0) if sampled else 1.0,
            top_p=(asked.top_p or own.top_p or 1.0) if sampled else 1.0,
            top_k=_first(asked.top_k, own.top_k, TOP_K) if sampled else TOP_K,
        )

    def config(self, settings: Settings, pad_token: int, *, logits: bool) -> Any:
        """*settings* for transformers, which adds what else the checkpoint says."""
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


def _first(*values: int | None) -> int:
    return next(value for value in values if value is not None)
