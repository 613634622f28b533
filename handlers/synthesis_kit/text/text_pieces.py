"""Cuts a text into sentences, and a sentence into pieces that a network can say in one breath.

`sidecar/speech/sentences.py` cuts texts into the same sentences, and a test keeps them equal.  Both
programs cut because the two share no code: the sidecar, so that a long text is read and spoken
sentence by sentence and the first one can leave early; the handler, for callers of TorchServe and
for SSML, which only it understands.
"""

import re

import sentencex

_STOPS = tuple(".!?:;,…—")
_CLAUSES = re.compile(r"(?<=[,;:—])\s+")


def sentences(text: str, language: str) -> list[str]:
    """Return the sentences of *text*; *language* is a code such as "en" or "de".

    One that ends with its line or paragraph and has no stop keeps one or two line breaks, at which
    a reader ends a phrase or a sentence.
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
    """Return how many line breaks end *part*."""
    return part[len(part.rstrip()) :].count("\n")


def _broken(sentence: str, breaks: int) -> str:
    text = sentence.rstrip()
    if text.endswith(_STOPS):
        return text
    return text + "\n" * min(2, breaks + _breaks(sentence))


def cut(phonemes: str, longest: int) -> list[str]:
    """Cut *phonemes* into pieces of at most *longest* symbols: at clauses, else between words.

    Only a word that is itself longer is cut inside.
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
    """Put *parts* together again as far as they fit into *longest*."""
    joined = [parts[0]]
    for part in parts[1:]:
        if len(joined[-1]) + 1 + len(part) <= longest:
            joined[-1] += f" {part}"
        else:
            joined.append(part)
    return joined


def word_end(phonemes: str, wanted: int) -> int | None:
    """Return where a word ends after about *wanted* symbols; None where too few would be left.

    It is the last end in the second half of *wanted*, else the first one beyond it.
    """
    end = phonemes.rfind(" ", max(1, wanted // 2), wanted + 1)
    if end < 0:
        end = phonemes.find(" ", wanted + 1)
    return end if 0 < end < len(phonemes) - wanted else None
