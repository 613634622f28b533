"""Which words were said in a piece, and when."""

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from recognition_kit.whisper.hypothesis import Hypothesis
from recognition_kit.whisper.spans import Span
from recognition_kit.whisper.words import Decode, split_words

LONGEST_MEDIAN_SECONDS = 0.7  # of the words' lengths, as in whisper/timing.py
LONGEST_IN_MEDIANS = 2.0


class TimedWord(NamedTuple):
    """A word, stripped; seconds from the piece's start; the mean of its tokens' probabilities."""

    word: str
    start: float
    end: float
    probability: float


def time_words(
    times: Sequence[float],
    spans: Sequence[Span],
    hypothesis: Hypothesis,
    decode: Decode,
    language: str,
) -> list[list[TimedWord]]:
    """The words of each of *spans*.

    *times* says when each text token of *spans* begins, one after another, and at last when the
    last one ends.
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
                words.append(TimedWord(text.strip(), start, end, probability))
        found.append(_trimmed(words, span))
        behind += len(tokens)
    return found


def _trimmed(words: list[TimedWord], span: Span) -> list[TimedWord]:
    """*words* without the pauses before the first and behind the last, which warping gives them."""
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
