"""A text as pieces that a network can say in one breath."""

import re

import sentencex

_CLAUSES = re.compile(r"(?<=[,;:—])\s+")


def sentences(text: str, language: str) -> list[str]:
    """The sentences of *text*, with the library call that the sidecar cuts texts with."""
    return [part for part in sentencex.segment(language, text) if part.strip()]


def cut(phonemes: str, longest: int) -> list[str]:
    """*phonemes* in pieces of at most *longest*: at clauses, else between words.

    A single word that is longer is cut inside.
    """
    if len(phonemes) <= longest:
        return [phonemes]
    parts = _CLAUSES.split(phonemes)
    if len(parts) == 1:
        parts = phonemes.split()
    if len(parts) == 1:
        return [phonemes[start : start + longest] for start in range(0, len(phonemes), longest)]
    return [piece for part in _joined(parts, longest) for piece in cut(part, longest)]


def _joined(parts: list[str], longest: int) -> list[str]:
    """*parts* put together again as far as they fit."""
    joined = [parts[0]]
    for part in parts[1:]:
        if len(joined[-1]) + 1 + len(part) <= longest:
            joined[-1] += f" {part}"
        else:
            joined.append(part)
    return joined
