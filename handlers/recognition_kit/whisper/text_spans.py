"""The stretches of text between timestamp tokens (``whisper/transcribe.py``)."""

from typing import NamedTuple

from recognition_kit.whisper.hypothesis import Hypothesis
from recognition_kit.whisper.vocabulary import SECONDS_PER_TIMESTAMP, Vocabulary

MIN_PROGRESS_SECONDS = 2.0
MIN_REST_SECONDS = 1.0


class TextSpan(NamedTuple):
    """Tokens *first* up to *last*, exclusive, of a hypothesis, and their seconds in the piece."""

    start: float
    end: float
    first: int
    last: int


def find_spans(hypothesis: Hypothesis, vocabulary: Vocabulary, seconds: float) -> list[TextSpan]:
    """Return the stretches of text between times, none later than *seconds*, the piece's length."""
    spans = []
    start, first = 0.0, 0
    for place, token in enumerate(hypothesis.tokens):
        if token < vocabulary.first_timestamp:
            continue
        time = min((token - vocabulary.first_timestamp) * SECONDS_PER_TIMESTAMP, seconds)
        if place > first:
            spans.append(TextSpan(start, time, first, place))
        start, first = time, place + 1
    if len(hypothesis.tokens) > first:
        spans.append(TextSpan(start, seconds, first, len(hypothesis.tokens)))
    return spans


def find_rest(hypothesis: Hypothesis, vocabulary: Vocabulary, seconds: float) -> float | None:
    """Return the time from which the piece must be transcribed again, or None.

    "…<|25.00|><|25.00|>" marks the beginning of a sentence whose end is not in the piece.  None if
    there is no such mark, or if the part before or after it is too short.
    """
    first = vocabulary.first_timestamp
    tokens = hypothesis.tokens
    pairs = [
        place for place in range(1, len(tokens)) if min(tokens[place - 1 : place + 1]) >= first
    ]
    heard_out = len(tokens) > 1 and tokens[-1] >= first > tokens[-2]
    if not pairs or heard_out:
        return None
    rest = (tokens[pairs[-1]] - first) * SECONDS_PER_TIMESTAMP
    worth_it = rest >= MIN_PROGRESS_SECONDS and seconds - rest >= MIN_REST_SECONDS
    return rest if worth_it else None
