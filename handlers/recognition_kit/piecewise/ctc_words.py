"""Turns the most probable token of each frame into words with times.

CTC: https://www.cs.toronto.edu/~graves/icml_2006.pdf.  Equal tokens in consecutive frames are one
letter, and blanks are none.  A letter spans the frames in which it is the most probable token.
"""

import math
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from recognition_kit.piecewise.recogniser import Phrase, PhraseWord

PAUSE_SECONDS = 0.6  # of silence between two words that begins a new phrase


class Alphabet(NamedTuple):
    """The tokens.  *space* separates words (None if nothing does); *never* are not letters."""

    letters: dict[int, str]
    blank: int
    space: int | None
    never: frozenset[int]


class Letter(NamedTuple):
    """A letter in the frames from *first* up to *last*, exclusive, with their log-probabilities.

    Without *text* it is a space.
    """

    text: str
    first: int
    last: int
    logprobs: list[float]


def spoken(tokens: Sequence[int], logprobs: Sequence[float], alphabet: Alphabet) -> list[Letter]:
    """Return the letters and spaces of one piece."""
    letters = []
    first = 0
    for token, group in groupby(tokens):
        last = first + len(list(group))
        if token != alphabet.blank and token not in alphabet.never:
            text = "" if token == alphabet.space else alphabet.letters.get(token, "")
            letters.append(Letter(text, first, last, list(logprobs[first:last])))
        first = last
    return letters


def phrases_of(letters: Sequence[Letter], seconds_per_frame: float) -> list[Phrase]:
    """Return the words of *letters* as phrases, divided at silences of PAUSE_SECONDS."""
    phrases: list[list[list[Letter]]] = []
    for is_word, group in groupby(letters, lambda letter: bool(letter.text)):
        if not is_word:
            continue
        word = list(group)
        behind = phrases[-1][-1][-1].last if phrases else 0
        if not phrases or (word[0].first - behind) * seconds_per_frame >= PAUSE_SECONDS:
            phrases.append([])
        phrases[-1].append(word)
    return [_phrase(words, seconds_per_frame) for words in phrases]


def _phrase(words: Sequence[Sequence[Letter]], seconds_per_frame: float) -> Phrase:
    said = [
        PhraseWord(
            "".join(letter.text for letter in word),
            word[0].first * seconds_per_frame,
            word[-1].last * seconds_per_frame,
            _confidence(word),
        )
        for word in words
    ]
    return Phrase(
        " ".join(word.text for word in said),
        said[0].start,
        said[-1].end,
        _confidence([letter for word in words for letter in word]),
        said,
    )


def _confidence(letters: Sequence[Letter]) -> float:
    """Return exp(mean log-probability) over the letters' frames."""
    logprobs = [each for letter in letters for each in letter.logprobs]
    return math.exp(math.fsum(logprobs) / len(logprobs))
