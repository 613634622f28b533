"""The words of a piece, and their times.

Tokens become words as in Whisper's own ``tokenizer.py`` (`split_to_word_tokens`) and ``timing.py``.
"""

import math
import string
from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

from recognition_kit.whisper.hypothesis import Hypothesis
from recognition_kit.whisper.text_spans import TextSpan

LONGEST_MEDIAN_SECONDS = 0.7  # of the words' lengths, as in whisper/timing.py
LONGEST_IN_MEDIANS = 2.0

WITHOUT_SPACES = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
OPENING = "\"'“¿([{-"
CLOSING = "\"'.。,，!！?？:：”)]}、"
BROKEN = "\ufffd"  # stands for an incomplete character

Decode = Callable[[Sequence[int]], str]


class PieceWord(NamedTuple):
    """A word without spaces, its seconds in the piece, and the mean probability of its tokens."""

    word: str
    start: float
    end: float
    probability: float


def time_words(
    times: Sequence[float],
    spans: Sequence[TextSpan],
    hypothesis: Hypothesis,
    decode: Decode,
    language: str,
) -> list[list[PieceWord]]:
    """Return the words of each of *spans*.

    *times* has the beginning of each text token of *spans*, one after another, and the end of the
    last one.
    """
    found = []
    behind = 0
    for span in spans:
        tokens = hypothesis.tokens[span.first : span.last]
        words = []
        for text, first, last in split_words(tokens, decode, language):
            logprobs = hypothesis.logprobs[span.first + first : span.first + last]
            probability = math.exp(math.fsum(logprobs) / len(logprobs))
            start, end = (times[min(behind + at, len(times) - 1)] for at in (first, last))
            if text.strip():
                words.append(PieceWord(text.strip(), start, end, probability))
        found.append(_trimmed(words, span))
        behind += len(tokens)
    return found


def _trimmed(words: list[PieceWord], span: TextSpan) -> list[PieceWord]:
    """Return *words* without the pauses that warping adds before the first and after the last."""
    if not words:
        return words
    usual = min(median(word.end - word.start for word in words), LONGEST_MEDIAN_SECONDS)
    longest = usual * LONGEST_IN_MEDIANS
    first = words[0]
    begins = max(first.start, min(span.start, first.end))
    if longest and len(words) > 1:
        begins = max(begins, first.end - longest)
    words[0] = first._replace(start=begins)
    last = words[-1]
    ends = min(last.end, max(span.end, last.start))
    if longest and len(words) > 1:
        ends = min(ends, last.start + longest)
    words[-1] = last._replace(end=ends)
    return words


class WordTokens(NamedTuple):
    """A word as written, and its tokens: *first* up to *last*, exclusive."""

    text: str
    first: int
    last: int


def split_words(tokens: Sequence[int], decode: Decode, language: str | None) -> list[WordTokens]:
    """Return the words of text *tokens*, each with its punctuation."""
    characters = _split_characters(tokens, decode)
    words = characters if language in WITHOUT_SPACES else _join_parts(characters)
    return _join_closing(_join_opening(words))


def _split_characters(tokens: Sequence[int], decode: Decode) -> list[WordTokens]:
    """Return the shortest runs of tokens that are whole characters."""
    runs = []
    first = 0
    for last in range(1, len(tokens) + 1):
        text = decode(tokens[first:last])
        if BROKEN not in text or last == len(tokens):
            runs.append(WordTokens(text, first, last))
            first = last
    return runs


def _join_parts(runs: Sequence[WordTokens]) -> list[WordTokens]:
    """Join runs into words.  A word begins with a space, or is punctuation."""
    words: list[WordTokens] = []
    for run in runs:
        begins = run.text.startswith(" ") or run.text.strip() in string.punctuation
        if words and not begins:
            words[-1] = _joined(words[-1], run)
        else:
            words.append(run)
    return words


def _join_opening(words: Sequence[WordTokens]) -> list[WordTokens]:
    joined: list[WordTokens] = []
    for word in words:
        before = joined[-1].text if joined else ""
        if before.startswith(" ") and before.strip() and before.strip() in OPENING:
            joined[-1] = _joined(joined[-1], word)
        else:
            joined.append(word)
    return joined


def _join_closing(words: Sequence[WordTokens]) -> list[WordTokens]:
    joined: list[WordTokens] = []
    for word in words:
        clings = joined and not joined[-1].text.endswith(" ") and word.text in CLOSING
        if clings and word.text:
            joined[-1] = _joined(joined[-1], word)
        else:
            joined.append(word)
    return joined


def _joined(before: WordTokens, after: WordTokens) -> WordTokens:
    return WordTokens(before.text + after.text, before.first, after.last)
