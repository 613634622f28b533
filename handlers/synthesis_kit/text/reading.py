"""Text as the symbols that a network was trained on: phonemes or letters."""

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import NamedTuple, Protocol

from hibari.g2p import G2P

from english_kit import markup
from english_kit.foreign import script
from english_kit.names import letters
from english_kit.reading import EnglishReader
from handler_kit.errors import InvalidInput
from synthesis_kit.text.pronunciation import Pronunciation, Symbols, known_words

ENGLISH = frozenset({"en", "eng"})
_ACRONYM = re.compile(r"\b[A-Z]{2,}(?=s?\b)")
_FOREIGN = re.compile(r"[^\W\d_]+")


class ReadingManner(NamedTuple):
    """How a text is to be read.

    *normalized*: numbers, dates, addresses and abbreviations are spelled out first, where we know
    how, which is in English.  *is_marked_up*: it may contain Markdown and HTML.  *pronunciations*
    are phonemes for words.
    """

    language: str
    normalized: bool = True
    is_marked_up: bool = True
    pronunciations: Mapping[str, str] = {}


class SymbolReader(Protocol):
    """Turns text into symbols."""

    has_phonemes: bool

    def read(self, text: str, manner: ReadingManner) -> Symbols:
        """Return *text* as the network takes it.  Raises InvalidInput if it cannot be read."""


class PhonemeReader:
    """English in misaki's phonemes."""

    has_phonemes = True

    def __init__(self) -> None:
        self._pronunciation = Pronunciation()

    def read(self, text: str, manner: ReadingManner) -> Symbols:
        """Return the phonemes of *text*."""
        return self._pronunciation.phonemes(
            text,
            normalized=manner.normalized,
            is_marked_up=manner.is_marked_up,
            pronunciations=manner.pronunciations,
        )


class LetterReader:
    """Letters as they are written; *accept* reduces them to those that the network knows."""

    has_phonemes = False

    def __init__(self, accept: Callable[[str], str]) -> None:
        self._accept = accept

    @cached_property
    def _known(self) -> Callable[[str], bool]:
        """Whether the English lexicon has a word; loaded late, as it takes half a second."""
        return known_words(G2P(oov=False).lexicon)

    @cached_property
    def _english(self) -> EnglishReader:
        return EnglishReader(self._known)

    def read(self, text: str, manner: ReadingManner) -> Symbols:
        """Return *text* without what the network does not know; "" if nothing is left to say."""
        if manner.pronunciations:
            raise InvalidInput(
                "this voice reads letters and does not support phonemes", field="pronunciations"
            )
        left_out: list[str] = []
        if manner.normalized and is_english(manner.language):
            text, left_out = self._english.read(text, is_marked_up=manner.is_marked_up)
            text = _ACRONYM.sub(self._spelled, text)
        known = self._accept(" ".join(text.split()))
        left_out += [word for word in _FOREIGN.findall(text) if not self._accept(word).strip()]
        return Symbols(known if any(each.isalnum() for each in known) else "", left_out)

    def _spelled(self, found: re.Match[str]) -> str:
        """Return NASA as a word, and FBI letter by letter."""
        return found[0].lower() if self._known(found[0]) else letters(found[0])


def is_english(language: str) -> bool:
    """Return whether *language*, a code such as en-US or eng, is English."""
    return language.lower().partition("-")[0] in ENGLISH


def unmarked(text: str, manner: ReadingManner) -> str:
    """Return *text* without its Markdown and HTML, where those are interpreted at all."""
    wanted = manner.normalized and manner.is_marked_up and is_english(manner.language)
    return markup.plain(text) if wanted else text


def by_script(words: list[str]) -> dict[str, list[str]]:
    """Return *words* by the names of their writing systems, each word once."""
    named: dict[str, list[str]] = {}
    for word in words:
        same = named.setdefault(script(word), [])
        if word not in same:
            same.append(word)
    return named
