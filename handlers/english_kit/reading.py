"""Turns a text into words: runs the readers in their order and joins their results."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from english_kit import (
    abbreviations,
    addresses,
    clock,
    dates,
    foreign,
    identifiers,
    markup,
    mathematics,
    measures,
    money,
    quantities,
    sayings,
    signs,
)
from english_kit.names import NameReader
from english_kit.roman import RomanReader
from english_kit.scanner import LEFT_OUT, PRONOUNCED, Known, Piece, Reader, Scanner, reader

_ENDS = tuple(".!?:;…—,")
_LEFT_BEHIND = re.compile(r"[.,;:!?…](?:\s?[.,;:!?…])+")  # of words that are not there any more
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_CLOSING = frozenset(".,;:!?…)”")
_OPENING = ("(", "“")
_PARTING = frozenset(".,;:!?…)/")  # a word after these stands apart


class Reading(NamedTuple):
    """The words, and the letters of the text that were omitted because English has no sound."""

    words: str
    left_out: list[str]


class EnglishReader:
    """Turns English texts into words.  *known* says whether the voice's lexicon has a word."""

    def __init__(self, known: Known) -> None:
        self._scanner = Scanner(
            [
                *signs.KEYCAPS,
                *addresses.READERS,
                *sayings.READERS,
                *clock.READERS,
                *dates.READERS,
                *identifiers.READERS,
                *money.READERS,
                *measures.READERS,
                *quantities.READERS[:-2],
                *abbreviations.READERS,
                *RomanReader(known).readers(),
                *foreign.READERS,
                *NameReader(known).readers(),
                *quantities.READERS[-2:],
                *mathematics.READERS,
                *signs.READERS,
            ]
        )

    def read(
        self,
        text: str,
        pronunciations: Mapping[str, str] | None = None,
        *,
        is_marked_up: bool = True,
    ) -> Reading:
        """Return *text* in words.  Words of *pronunciations* become `[word](/phonemes/)`.

        If *is_marked_up*, Markdown and HTML are interpreted.
        """
        own = pronounced(pronunciations) if pronunciations else None
        breaks = ending_breaks(text)
        if is_marked_up:
            text = markup.plain(text)
            breaks = ending_breaks(text) if breaks else 0
        said: list[str] = []
        left_out: list[str] = []
        text = usual(text)
        for paragraph in re.split(r"\n\s*\n", text.strip()):
            lines = [line for line in paragraph.split("\n") if line.strip()]
            phrases = []
            for line in lines:
                pieces = list(self._scanner.pieces(line, own))
                left_out += [
                    line[each.start : each.end] for each in pieces if each.kind == LEFT_OUT
                ]
                phrases.append(joined(pieces))
            said.append(_ended([each for each in phrases if each], ","))
        words = _ended([each for each in said if each], ".")
        if breaks and words and not words.endswith(_ENDS):
            words += "," if breaks == 1 else "."
        if left_out:
            words = _LEFT_BEHIND.sub(_strongest, words).lstrip(" ,;:.")
        return Reading(words, left_out)


def pronounced(pronunciations: Mapping[str, str]) -> Reader:
    """Return a reader of the words of *pronunciations* as their phonemes.

    A word in lower case is found at the beginning of a sentence too.
    """
    said = dict(pronunciations)
    for word, phonemes in pronunciations.items():
        said.setdefault(word[:1].upper() + word[1:], phonemes)
    words = "|".join(re.escape(each) for each in sorted(said, key=len, reverse=True))
    return reader(
        rf"(?<![^\W_])(?:{words})(?![^\W_])",
        lambda found: f"[{found[0]}](/{said[found[0]]}/)",
        kind=PRONOUNCED,
    )


def _strongest(found: re.Match[str]) -> str:
    """Return, of several stops, the one that ends a sentence."""
    ends = re.search(r"[!?]", found[0]) or re.search(r"[.…]", found[0])
    return ends[0] if ends else found[0][0]


def ending_breaks(text: str) -> int:
    """Return how many line breaks end *text*."""
    return text[len(text.rstrip()) :].count("\n")


def usual(text: str) -> str:
    """Return *text* in the usual characters.

    Decimal digits of all scripts become 0 to 9, wide and mathematical letters become letters, and
    ligatures are taken apart.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n")
    text = text.replace("\u2029", "\n\n").replace("\u00ad", "").replace("\u200b", "")
    text = _CONTROLS.sub(" ", text)
    if text.isascii():
        return text
    return "".join(map(_usual, unicodedata.normalize("NFC", text)))


def _usual(character: str) -> str:
    if character.isascii():
        return character
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    kind = unicodedata.decomposition(character).partition(" ")[0]
    if kind in {"<wide>", "<narrow>", "<font>"} or (kind == "<compat>" and character.isalpha()):
        return unicodedata.normalize("NFKC", character)
    if kind == "<square>":
        return unicodedata.normalize("NFKC", character)
    return character


def joined(pieces: Sequence[Piece]) -> str:
    """Return the words of *pieces*, with spaces where the text has them and between words."""
    return "".join(_spaced([each for each in pieces if each.said])).strip()


def _spaced(pieces: Sequence[Piece]) -> Iterator[str]:
    last = Piece(0, 0, "", "")
    for piece in pieces:
        if last.said and _are_apart(last, piece):
            yield " "
        yield piece.said
        last = piece


def _are_apart(left: Piece, right: Piece) -> bool:
    """Return whether a space belongs between the words of two pieces."""
    if left.said in _OPENING or right.said[0] in _CLOSING or "-" in (left.said, right.said):
        return False
    if right.said == "(" and left.said not in _OPENING:
        return True
    if left.end < right.start or "—" in (left.said, right.said):
        return True
    return right.is_word and (left.said[-1].isalnum() or left.said[-1] in _PARTING)


def _ended(parts: Sequence[str], sign: str) -> str:
    """Return *parts* one after another, each but the last with a sign at its end."""
    *first, last = parts or [""]
    return " ".join([*(each if each.endswith(_ENDS) else each + sign for each in first), last])
