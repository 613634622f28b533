"""What a client may ask of a transcription."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from handler_kit.errors import InvalidInput
from recognition_kit.whisper.vocabulary import ENGLISH, Vocabulary

AUTO = "auto"
_THRESHOLDS = ("no_speech_threshold", "logprob_threshold")
_ONLY_WHISPER = (
    *("task", "temperature", "beam_size", "initial_prompt", "suppress_blank"),
    *_THRESHOLDS,
)
Probability = Annotated[float, Meta(ge=0, le=1)]


class TranscriptionParameters(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """One clip's parameters; the sidecar's `TranscriptionParameters` are a part of them.

    *temperature* 0 takes the likeliest token, or with *beam_size* above 1 the likeliest of
    several sentences; above 0 tokens are drawn, from *seed* on, and no beam is used.  *offset*,
    in seconds, is added to all times.
    """

    language: str | None = None
    task: Literal["transcribe", "translate"] = "transcribe"
    temperature: Probability = 0.0
    beam_size: Annotated[int, Meta(ge=1, le=10)] = 1
    initial_prompt: Annotated[str, Meta(max_length=1000)] | None = None
    suppress_blank: bool = True
    enable_timestamps: bool = True
    word_timestamps: bool = False
    no_speech_threshold: Probability | None = 0.6
    logprob_threshold: Annotated[float, Meta(le=0)] | None = -1.0
    offset: Annotated[float, Meta(ge=0, le=1e7)] = 0.0
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0

    @property
    def wanted_language(self) -> str | None:
        """The language's code; None where it is to be detected."""
        code = (self.language or AUTO).strip().lower()
        return None if code == AUTO else code


def parse_parameters(raw: dict[str, Any], vocabulary: Vocabulary) -> TranscriptionParameters:
    """*raw* as this checkpoint can obey it.  Raises InvalidInput naming the parameter."""
    parameters = _read(raw)
    language = parameters.wanted_language
    if not vocabulary.multilingual:
        if language not in (None, ENGLISH):
            raise InvalidInput(
                f"language: this model knows English only, not {language!r}; give null, auto or en"
            )
        if parameters.task == "translate":
            raise InvalidInput("task: this model knows English only, so it cannot translate")
    elif language is not None and language not in vocabulary.languages:
        count = len(vocabulary.languages)
        raise InvalidInput(f"language: {language!r} is none of the {count} codes of this model")
    return parameters


def parse_plain(
    raw: dict[str, Any], languages: Sequence[str], *, word_times: bool
) -> TranscriptionParameters:
    """*raw* for a network that cannot be told how to listen: what it cannot do is refused.

    Raises InvalidInput naming the parameter.  A threshold can be left away (null) only: there
    is nothing that it would be compared with.
    """
    parameters = _read(raw)
    language = parameters.wanted_language
    if language is not None and language not in languages:
        known = ", ".join(languages) or "none that it could tell"
        raise InvalidInput(f"language: this model knows {known}, not {language!r}")
    if parameters.word_timestamps and not word_times:
        raise InvalidInput("word_timestamps: this model does not tell when words were said")
    plain = TranscriptionParameters()
    for name in _ONLY_WHISPER:
        given = getattr(parameters, name)
        if given != getattr(plain, name) and not (name in _THRESHOLDS and given is None):
            raise InvalidInput(f"{name}: this model cannot do that; leave it out")
    return parameters


def _read(raw: dict[str, Any]) -> TranscriptionParameters:
    try:
        return msgspec.convert(raw, TranscriptionParameters)
    except msgspec.ValidationError as exc:
        raise InvalidInput(f"parameters: {exc}") from exc
