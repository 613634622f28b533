"""Spoken words as captions: a sentence or a part of one at a time."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sidecar.schemas.synthesis import CaptionFormat, SpokenWord
from sidecar.speech.subtitles import srt, vtt

LONGEST_CHARACTERS = 80  # two lines, as broadcasters have them
LONGEST_SECONDS = 6.0
_SENTENCE_ENDS = tuple(".!?…")


class Caption(NamedTuple):
    """What is shown from *start* to *end*, in seconds."""

    start: float
    end: float
    text: str


def captions(words: Sequence[SpokenWord], name: CaptionFormat) -> str:
    """Return *words* as a file of captions."""
    cues = list(cut(words))
    return srt(cues) if name == "srt" else vtt(cues)


def cut(words: Sequence[SpokenWord]) -> Iterator[Caption]:
    """Yield captions that end with a sentence, or before they are too long to be read."""
    shown: list[SpokenWord] = []
    for word in words:
        length = sum(len(each.word) + 1 for each in shown) + len(word.word)
        if shown and (length > LONGEST_CHARACTERS or word.end - shown[0].start > LONGEST_SECONDS):
            yield _caption(shown)
            shown = []
        shown.append(word)
        if word.word.endswith(_SENTENCE_ENDS):
            yield _caption(shown)
            shown = []
    if shown:
        yield _caption(shown)


def _caption(words: Sequence[SpokenWord]) -> Caption:
    return Caption(words[0].start, words[-1].end, " ".join(each.word for each in words))
