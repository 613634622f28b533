"""Scans a text once: each token is read by the first reader that recognises it.

A reader looks at one position only, with a pattern of bounded length, so that the time is
proportional to the text, and no token is read twice.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache, cached_property
from typing import NamedTuple

LEFT_OUT = "left out"
PRONOUNCED = "pronounced"
_GROUPED = 8  # readers; after one that says None the rest of its group is tried one by one

# A letter: \w has raised, lowered and circled digits and fractions as well.
LETTER = (
    "[^\\W\\d_²³¹¼-¾\u02b8\u02e3\u2070-\u209f\u2150-\u218b\u2460-\u249b\u24ea-\u24ff\u2776-\u2793"
    "\u3220-\u3229\u3248-\u324f\u3251-\u325f\u3280-\u3289\u32b1-\u32bf]"
)

Known = Callable[[str], bool]  # whether a voice's lexicon has a word
Say = Callable[[re.Match[str]], str | None]


class Reader(NamedTuple):
    """A kind of token.  *say* returns its words, or None if it is another kind after all.

    *begins* names the characters that the kind begins with: "d" stands for digits, "l" for letters,
    "o" for all other characters; any other character stands for itself.
    """

    pattern: re.Pattern[str]
    say: Say
    begins: str
    kind: str

    def may_begin(self, beginning: str) -> bool:
        """Return whether the kind begins with *beginning*: "d", "l", or a sign."""
        return beginning in self.begins or (beginning not in "dl" and "o" in self.begins)


class Piece(NamedTuple):
    """The text at [start, end), and how it is said."""

    start: int
    end: int
    said: str
    kind: str

    @property
    def is_word(self) -> bool:
        """Whether a space separates it from the word before or after it."""
        return self.kind == PRONOUNCED or (bool(self.said) and self.said[0].isalnum())


def reader(
    pattern: str, say: Say | str, begins: str = "dlo", *, kind: str = "", any_case: bool = False
) -> Reader:
    """Return a reader that says *say*: a template for `re.Match.expand`, or words of a match."""
    compiled = re.compile(f"(?i:{pattern})" if any_case else pattern)
    if isinstance(say, str):
        template = say
        return Reader(compiled, lambda found: found.expand(template), begins, kind)
    return Reader(compiled, say, begins, kind)


class _Group:
    """Consecutive readers, with one pattern that finds the first one that matches.

    One search in C replaces a call for each reader, most of which would find nothing.
    """

    def __init__(self, readers: Sequence[Reader]) -> None:
        self._readers = readers
        self._places: dict[int | None, int] = {}
        marker = 0
        for place, each in enumerate(readers):
            marker += each.pattern.groups + 1
            self._places[marker] = place

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        """Compile the pattern when it is first needed: few texts contain every sign.

        The empty group after each pattern tells which one has matched: it is the last that closed.
        """
        return re.compile("|".join(f"(?:{each.pattern.pattern})()" for each in self._readers))

    def piece(self, text: str, place: int) -> Piece | None:
        """Return the words of the first reader that recognises the token at *place*."""
        first = self._pattern.match(text, place)
        if first is None:
            return None
        for each in self._readers[self._places[first.lastindex] :]:
            found = each.pattern.match(text, place)
            if found and found.end() > place and (said := each.say(found)) is not None:
                return Piece(place, found.end(), said, each.kind)
        return None


class Scanner:
    """Reads texts with *readers*.  The last of them must recognise every character.

    The readers keep their order; their patterns must not refer to groups by number.
    """

    def __init__(self, readers: Sequence[Reader]) -> None:
        signs = {each for reader in readers for each in reader.begins} - set("dl")
        grouped = cache(_grouped)  # many signs begin the same kinds
        self._groups = {
            sign: grouped(tuple(each for each in readers if each.may_begin(sign)))
            for sign in ("d", "l", *signs)
        }

    def pieces(self, text: str, first: Reader | None = None) -> Iterator[Piece]:
        """Yield the tokens of *text*, in order, without the space between them.

        *first* is asked before all other readers.
        """
        ahead = [_Group([first])] if first else []
        place = 0
        while place < len(text):
            if text[place].isspace():
                place += 1
                continue
            piece = _piece([*ahead, *self._groups_for(text[place])], text, place)
            yield piece
            place = piece.end

    def _groups_for(self, first: str) -> "list[_Group]":
        return self._groups.get(beginning(first)) or self._groups["o"]


def beginning(first: str) -> str:
    """Return how a token begins whose first character is *first*: "d", "l", or that sign."""
    return "l" if first.isalpha() else "d" if first.isdecimal() else first


def _piece(groups: "list[_Group]", text: str, place: int) -> Piece:
    for each in groups:
        piece = each.piece(text, place)
        if piece is not None:
            return piece
    raise AssertionError(f"no reader for {text[place]!r}")


def _grouped(readers: tuple[Reader, ...]) -> list[_Group]:
    return [_Group(readers[place : place + _GROUPED]) for place in range(0, len(readers), _GROUPED)]


def kept_stop(found: re.Match[str]) -> str:
    """Return the stop of an abbreviation, where a sentence may end with it too."""
    after = behind(found, 4)
    ends = not after.strip() or re.match(r"\s+[A-Z\"“'‘(]", after)
    return "." if found[0].endswith(".") and ends else ""


def before(found: re.Match[str], length: int = 40) -> str:
    """Return the text in front of a match, at most *length* characters of it."""
    return found.string[max(0, found.start() - length) : found.start()]


def behind(found: re.Match[str], length: int = 40) -> str:
    """Return the text that follows a match, at most *length* characters of it."""
    return found.string[found.end() : found.end() + length]
