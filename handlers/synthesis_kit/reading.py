"""Text as the symbols that a network was trained with: phonemes or letters."""

from collections.abc import Callable
from typing import Protocol

from hibari.g2p import normalize

from synthesis_kit.normalization import readable
from synthesis_kit.pronunciation import Pronunciation

ENGLISH = frozenset({"en", "eng"})


class Reader(Protocol):
    """Makes symbols of text."""

    def read(self, text: str, language: str, *, normalized: bool) -> str:
        """How *text* is given to the network; "" for what nobody can say.

        *normalized*: numbers, dates, addresses and abbreviations are spelled out before, where
        we know how: in English.  Raises InvalidInput for a text that the network cannot read.
        """


class PhonemeReader:
    """English in misaki's phonemes."""

    def __init__(self) -> None:
        self._pronunciation = Pronunciation()

    def read(self, text: str, language: str, *, normalized: bool) -> str:  # noqa: ARG002 - English
        """The phonemes of *text*."""
        return self._pronunciation.phonemes(text, normalized=normalized)


class LetterReader:
    """Letters as they are written; *accept* makes of them what the network knows."""

    def __init__(self, accept: Callable[[str], str]) -> None:
        self._accept = accept

    def read(self, text: str, language: str, *, normalized: bool) -> str:
        """*text* without what the network does not know; "" where no letter or digit is left."""
        if normalized and is_english(language):
            text = normalize(readable(text))
        known = self._accept(" ".join(text.split()))
        return known if any(each.isalnum() for each in known) else ""


def is_english(language: str) -> bool:
    """Whether *language*, a code such as en-US or eng, is English."""
    return language.lower().partition("-")[0] in ENGLISH
