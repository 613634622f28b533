"""A text's sentences, as `handlers/synthesis_kit/text/text_pieces.py` cuts them too.

Both programs cut because the two share no code: the sidecar, so that a long text is read and spoken
sentence by sentence and the first one can leave early; the handler, for callers of TorchServe and
for SSML, which only it understands.  A test keeps them equal.
"""

import re
from typing import NamedTuple

import sentencex

MAX_CHARACTERS = 500  # of what is read at once; people's sentences are shorter
_STOPS = tuple(".!?:;,…—")
_CLAUSE_END = re.compile(r"[,;:—]\s")


class TextPart(NamedTuple):
    """A sentence, or a part of one that is too long; *continued*: its beginning came before."""

    text: str
    continued: bool = False


def text_parts(text: str, language: str) -> list[TextPart]:
    """Return the sentences of *text*, each of at most MAX_CHARACTERS.

    A longer one is cut after a clause, else between words, else anywhere.
    """
    return [
        TextPart(part, continued=place > 0)
        for sentence in sentences(text, language)
        for place, part in enumerate(_cut(sentence))
    ]


def sentences(text: str, language: str) -> list[str]:
    """Return the sentences of *text* in *language* (ISO 639-1), without the space around them.

    One that ends with its line or paragraph and has no stop keeps one or two line breaks: whoever
    reads it ends a phrase or a sentence there.  A text of nothing but spaces is one sentence, which
    the model refuses.
    """
    parts: list[str] = []
    for part in sentencex.segment(language, text):
        sentence = part.strip()
        if sentence:
            parts.append(sentence)
        if parts and (breaks := _breaks(part if sentence else f"x{part}")):
            parts[-1] = _broken(parts[-1], breaks)
    return [*parts[:-1], *(part.rstrip() for part in parts[-1:])] or [text]


def _breaks(part: str) -> int:
    """Return how many line breaks end *part*."""
    return part[len(part.rstrip()) :].count("\n")


def _broken(sentence: str, breaks: int) -> str:
    text = sentence.rstrip()
    if text.endswith(_STOPS):
        return text
    return text + "\n" * min(2, breaks + _breaks(sentence))


def _cut(sentence: str) -> list[str]:
    parts = []
    while len(sentence) > MAX_CHARACTERS:
        end = _last_border(sentence[:MAX_CHARACTERS])
        parts.append(sentence[:end].rstrip())
        sentence = sentence[end:].lstrip()
    return [part for part in [*parts, sentence] if part] or [sentence]


def _last_border(beginning: str) -> int:
    """Return where to end *beginning*; a clause that ends in its first half would be too short."""
    clauses = [found.end() for found in _CLAUSE_END.finditer(beginning, MAX_CHARACTERS // 2)]
    if clauses:
        return clauses[-1]
    spaces = [place for place, each in enumerate(beginning) if each.isspace()]
    return spaces[-1] + 1 if spaces else len(beginning)
