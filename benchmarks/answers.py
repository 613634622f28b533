"""Checks of answers.  Each returns what is wrong, or None."""

from collections.abc import Sequence

import jiwer
import numpy as np
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

MIN_COSINE = 0.999
MAX_WORD_ERRORS = 0.15
MAX_LENGTH_CHANGE = 0.1

normalize = EnglishTextNormalizer({})  # type: ignore[no-untyped-call]


def far_vectors(found: Sequence[list[float]], right: Sequence[list[float]]) -> str | None:
    """Compare vectors of length 1 with those of the same network in fp32."""
    cosine = min(float(np.dot(a, b)) for a, b in zip(found, right, strict=True))
    return None if cosine >= MIN_COSINE else f"a cosine of {cosine:.4f} to fp32"


def misheard(found: Sequence[str], said: Sequence[str]) -> str | None:
    """Compare transcripts with what was said, all words together."""
    errors = jiwer.wer([normalize(each) for each in said], [normalize(each) for each in found])
    return None if errors <= MAX_WORD_ERRORS else f"word error rate {errors:.2f}"


def other_lengths(found: Sequence[float], before: Sequence[float]) -> str | None:
    """Compare the seconds of speech with those of *before*, when it was listened to."""
    change = abs(sum(found) / sum(before) - 1)
    return None if change <= MAX_LENGTH_CHANGE else f"the speech's length changed by {change:.0%}"
