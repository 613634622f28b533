"""Texts as inputs: decoding them, and sample texts."""

from itertools import cycle, islice
from typing import Any

import msgspec

from handler_kit.errors import InvalidInput

_SENTENCE = (
    "the quick brown fox jumps over a lazy dog while seven wizards brew strong coffee "
    "near quiet rivers every morning"
)
_SAMPLE_WORDS = (4, 60, 1, 24, 10, 110, 4, 30)  # words of the sample texts, in turn
_LONGEST_WORDS = 600  # more than any encoder's usual limit of 512 tokens


class _TextInput(msgspec.Struct, forbid_unknown_fields=True):
    text: str
    parameters: dict[str, Any] = {}


def read_text(
    value: object, parameters: dict[str, Any], max_characters: int
) -> tuple[str, dict[str, Any]]:
    """Return the text of a string or of an object {text, parameters}, and the parameters.

    Raises InvalidInput for anything else, and for text that is too long or not valid Unicode.
    """
    if isinstance(value, dict):
        try:
            given = msgspec.convert(value, _TextInput)
        except msgspec.ValidationError as exc:
            raise InvalidInput(f"The input must be text or {{text, parameters}}: {exc}") from exc
        value, parameters = given.text, {**parameters, **given.parameters}
    if not isinstance(value, str):
        raise InvalidInput("The input must be text, or an object with text and parameters")
    check_text(value, max_characters)
    return value, parameters


def check_text(text: str, max_characters: int) -> None:
    """Raise InvalidInput for a text of more than *max_characters*, or not valid Unicode."""
    if len(text) > max_characters:
        raise InvalidInput(
            f"The text has {len(text)} characters; at most {max_characters} are allowed"
        )
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidInput("The text contains an unpaired surrogate") from exc


def sample_texts(count: int) -> list[str]:
    """Return *count* texts of mixed lengths, adjacent ones never of equal length."""
    lengths = islice(cycle(_SAMPLE_WORDS), count)
    return [_text(words, start) for start, words in enumerate(lengths)]


def check_texts() -> list[str]:
    """Return texts that reveal whether a model depends on positions: short, equal and longest."""
    return [*sample_texts(len(_SAMPLE_WORDS)), _text(_LONGEST_WORDS, 0)]


def _text(words: int, start: int) -> str:
    return " ".join(islice(cycle(_SENTENCE.split()), start, start + words))
