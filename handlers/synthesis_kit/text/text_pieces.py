"""A text as pieces that a network can say in one breath."""

import re

import sentencex

_STOPS = tuple(".!?:;,…—")
_CLAUSES = re.compile(r"(?<=[,;:—])\s+")


def sentences(text: str, language: str) -> list[str]:
    """The sentences of *text*, as the sidecar cuts texts.

    One that ends with its line or paragraph and has no stop keeps one or two line breaks: whoever
    reads it ends a phrase or a sentence there.
    """
    parts: list[str] = []
    for part in sentencex.segment(language, text):
        sentence = part.strip()
        if sentence:
            parts.append(sentence)
        if parts and (breaks := _breaks(part if sentence else f"x{part}")):
            parts[-1] = _broken(parts[-1], breaks)
    return [*parts[:-1], *(part.rstrip() for part in parts[-1:])]


def _breaks(part: str) -> int:
    """How many line breaks end *part*."""
    return part[len(part.rstrip()) :].count("\n")


def _broken(sentence: str, breaks: int) -> str:
    text = sentence.rstrip()
    if text.endswith(_STOPS):
        return text
    return text + "\n" * min(2, breaks + _breaks(sentence))


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
