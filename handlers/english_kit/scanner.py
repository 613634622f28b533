"""One walk through a text: each token is read once, by the first reader that knows its kind.

A reader looks at one place only, with a pattern whose length is bounded, so the walk takes time
in proportion to the text, and what one reader has said no other reads again.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

LEFT_OUT = "left out"
PRONOUNCED = "pronounced"

# A letter: \w has raised, lowered and circled digits and fractions as well.
LETTER = (
    "[^\\W\\d_²³¹¼-¾\u2070-\u2079\u2080-\u2089\u2150-\u218b\u2460-\u249b\u24ea-\u24ff\u2776-\u2793"
    "\u3220-\u3229\u3248-\u324f\u3251-\u325f\u3280-\u3289\u32b1-\u32bf]"
)

Say = Callable[[re.Match[str]], str | None]


class Reader(NamedTuple):
    """A kind of token.  *say* answers the words, or None where it is another kind after all.

    *begins*: with which characters the kind begins: "d" for digits, "l" for letters, "o" others.
    """

    pattern: re.Pattern[str]
    say: Say
    begins: str
    kind: str


class Piece(NamedTuple):
    """What stood at [start, end) and how it is said."""

    start: int
    end: int
    said: str
    kind: str

    @property
    def is_word(self) -> bool:
        """Whether a space keeps it from the word before or behind it."""
        return self.kind == PRONOUNCED or (bool(self.said) and self.said[0].isalnum())


def reader(
    pattern: str, say: Say | str, begins: str = "dlo", *, kind: str = "", any_case: bool = False
) -> Reader:
    """A reader that says *say*: a template as `re.Match.expand` has it, or words of a match."""
    compiled = re.compile(pattern, re.IGNORECASE if any_case else 0)
    if isinstance(say, str):
        template = say
        return Reader(compiled, lambda found: found.expand(template), begins, kind)
    return Reader(compiled, say, begins, kind)


class Scanner:
    """Reads texts with *readers*; the last of them must know every character."""

    def __init__(self, readers: Sequence[Reader]) -> None:
        self._by_beginning = {
            kind: [each for each in readers if kind in each.begins] for kind in "dlo"
        }

    def pieces(self, text: str) -> Iterator[Piece]:
        """The tokens of *text*, in order, without the space between them."""
        place = 0
        while place < len(text):
            if text[place].isspace():
                place += 1
                continue
            piece = self._piece(text, place)
            yield piece
            place = piece.end

    def _piece(self, text: str, place: int) -> Piece:
        first = text[place]
        beginning = "d" if first.isdecimal() else "l" if first.isalpha() else "o"
        for each in self._by_beginning[beginning]:
            found = each.pattern.match(text, place)
            if found and found.end() > place and (said := each.say(found)) is not None:
                return Piece(place, found.end(), said, each.kind)
        raise AssertionError(f"no reader for {first!r}")


def kept_stop(found: re.Match[str]) -> str:
    """The stop of an abbreviation that was found, where a sentence may end with it too."""
    after = behind(found, 4)
    ends = not after.strip() or re.match(r"\s+[A-Z\"“'‘(]", after)
    return "." if found[0].endswith(".") and ends else ""


def before(found: re.Match[str], length: int = 40) -> str:
    """The text in front of a match, at most *length* characters of it."""
    return found.string[max(0, found.start() - length) : found.start()]


def behind(found: re.Match[str], length: int = 40) -> str:
    """The text that follows a match, at most *length* characters of it."""
    return found.string[found.end() : found.end() + length]
