"""How many words a recogniser got wrong."""

from collections.abc import Callable, Sequence

import jiwer
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

_normalize: Callable[[str], str] = EnglishTextNormalizer({})  # type: ignore[no-untyped-call]


def word_error_rate(said: Sequence[str], heard: Sequence[str]) -> float:
    """Of all words together, after Whisper's own normalisation of spelling and numbers."""
    return float(
        jiwer.wer([_normalize(each) for each in said], [_normalize(each) for each in heard])
    )
