"""Tokens to words, as in ``whisper/tokenizer.py`` (`split_to_word_tokens`) and ``timing.py``."""

import string
from collections.abc import Callable, Sequence
from typing import NamedTuple

WITHOUT_SPACES = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
OPENING = "\"'“¿([{-"
CLOSING = "\"'.。,，!！?？:：”)]}、"
BROKEN = "\ufffd"  # half a character

Decode = Callable[[Sequence[int]], str]


class Text(NamedTuple):
    """A word as it is written, and the places *first* to *last* (not included) of its tokens."""

    text: str
    first: int
    last: int


def split_words(tokens: Sequence[int], decode: Decode, language: str | None) -> list[Text]:
    """The words of text *tokens*, with the punctuation that clings to them."""
    characters = _split_characters(tokens, decode)
    words = characters if language in WITHOUT_SPACES else _join_parts(characters)
    return _join_closing(_join_opening(words))


def _split_characters(tokens: Sequence[int], decode: Decode) -> list[Text]:
    """The smallest runs of tokens that are whole characters."""
    runs = []
    first = 0
    for last in range(1, len(tokens) + 1):
        text = decode(tokens[first:last])
        if BROKEN not in text or last == len(tokens):
            runs.append(Text(text, first, last))
            first = last
    return runs


def _join_parts(runs: Sequence[Text]) -> list[Text]:
    """A word begins with a space, or is punctuation."""
    words: list[Text] = []
    for run in runs:
        begins = run.text.startswith(" ") or run.text.strip() in string.punctuation
        if words and not begins:
            words[-1] = _joined(words[-1], run)
        else:
            words.append(run)
    return words


def _join_opening(words: Sequence[Text]) -> list[Text]:
    joined: list[Text] = []
    for word in words:
        before = joined[-1].text if joined else ""
        if before.startswith(" ") and before.strip() and before.strip() in OPENING:
            joined[-1] = _joined(joined[-1], word)
        else:
            joined.append(word)
    return joined


def _join_closing(words: Sequence[Text]) -> list[Text]:
    joined: list[Text] = []
    for word in words:
        clings = joined and not joined[-1].text.endswith(" ") and word.text in CLOSING
        if clings and word.text:
            joined[-1] = _joined(joined[-1], word)
        else:
            joined.append(word)
    return joined


def _joined(before: Text, after: Text) -> Text:
    return Text(before.text + after.text, before.first, after.last)
