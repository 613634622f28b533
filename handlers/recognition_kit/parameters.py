"""A client's parameters of a transcription."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from handler_kit.errors import InvalidInput
from recognition_kit.whisper.vocabulary import ENGLISH, Vocabulary

AUTO = "auto"
_THRESHOLDS = ("no_speech_threshold", "logprob_threshold")
_ONLY_WHISPER = (
    "task",
    "temperature",
    "beam_size",
    "initial_prompt",
    "suppress_blank",
    *_THRESHOLDS,
)
Probability = Annotated[float, Meta(ge=0, le=1)]


class TranscriptionParameters(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """The parameters of one clip.  The sidecar's `TranscriptionParameters` are a subset of them.

    With *temperature* 0 the most probable token is chosen or, with *beam_size* above 1, the most
    probable of several sentences.  Above 0 tokens are sampled, starting from *seed*, and
    *beam_size* is ignored.  *offset*, in seconds, is added to all times.
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
        """The code of the language, or None if it is to be detected."""
        code = (self.language or AUTO).strip().lower()
        return None if code == AUTO else code


def parse_parameters(raw: dict[str, Any], vocabulary: Vocabulary) -> TranscriptionParameters:
    """Return *raw* as parameters that this checkpoint supports.

    Raises InvalidInput naming the parameter.
    """
    parameters = _read(raw)
    language = parameters.wanted_language
    if not vocabulary.multilingual:
        if language not in (None, ENGLISH):
            raise InvalidInput(
                f"language: expected en, auto or null, as this model knows only English; "
                f"got {language!r}"
            )
        if parameters.task == "translate":
            raise InvalidInput(
                "task: expected transcribe; this model knows only English and cannot translate"
            )
    elif language is not None and language not in vocabulary.languages:
        count = len(vocabulary.languages)
        raise InvalidInput(
            f"language: {language!r} is not one of the {count} language codes of this model"
        )
    return parameters


def parse_plain(
    raw: dict[str, Any], languages: Sequence[str], *, word_times: bool
) -> TranscriptionParameters:
    """Return *raw* as parameters for a network whose decoding cannot be controlled.

    Parameters that it does not support are refused.  The thresholds may only be switched off
    (null), since there is nothing to compare them with.  Raises InvalidInput naming the parameter.
    """
    parameters = _read(raw)
    language = parameters.wanted_language
    if language is not None and language not in languages:
        expected = ", ".join((AUTO, *languages))
        raise InvalidInput(f"language: expected one of: {expected}; got {language!r}")
    if parameters.word_timestamps and not word_times:
        raise InvalidInput("word_timestamps: this model does not determine the times of words")
    plain = TranscriptionParameters()
    for name in _ONLY_WHISPER:
        given = getattr(parameters, name)
        if given != getattr(plain, name) and not (name in _THRESHOLDS and given is None):
            raise InvalidInput(f"{name}: this model does not support it; leave it out")
    return parameters


def _read(raw: dict[str, Any]) -> TranscriptionParameters:
    try:
        return msgspec.convert(raw, TranscriptionParameters)
    except msgspec.ValidationError as exc:
        raise InvalidInput(f"parameters: {exc}") from exc
