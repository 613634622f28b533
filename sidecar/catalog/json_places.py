"""Where the values of a JSON text stand, for messages that name a line and for additions.

The caller has made sure that the text is JSON.
"""

import json
import re
from typing import NamedTuple

Path = tuple[str | int, ...]  # the names and indices that lead to a value

_scan = json.JSONDecoder().raw_decode
_scan_string = json.decoder.scanstring  # type: ignore[attr-defined]  # typeshed leaves it out
_SPACE = re.compile(r"[ \t\n\r]*")


class Place(NamedTuple):
    """Offsets of one value in its text; *start* is that of its name, if it has one."""

    start: int
    value: int
    end: int


def find_places(text: str) -> dict[Path, Place]:
    """Return the place of every value in *text*.

    A name that an object has twice is found where it stands last.
    """
    places: dict[Path, Place] = {}
    _Walk(text, places).value((), _past_space(text, 0))
    return places


def find_duplicate(text: str) -> Path | None:
    """Return the path of a name that one object of *text* has twice; None: there is none."""
    walk = _Walk(text, {})
    walk.value((), _past_space(text, 0))
    return walk.duplicate


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Return where *offset* is for people: both count from 1."""
    before = text[:offset]
    return before.count("\n") + 1, offset - before.rfind("\n")


class _Walk:
    """One pass over *text* that records the *places* of its values."""

    def __init__(self, text: str, places: dict[Path, Place]) -> None:
        self._text = text
        self._places = places
        self.duplicate: Path | None = None

    def value(self, path: Path, at: int, start: int | None = None) -> int:
        """Note the value that begins *at*, and all in it; return its end."""
        opening = self._text[at : at + 1]
        if opening == "{":
            end = self._members(path, at + 1)
        elif opening == "[":
            end = self._items(path, at + 1)
        else:
            end = _scan(self._text, at)[1]
        self._places[path] = Place(at if start is None else start, at, end)
        return end

    def _members(self, path: Path, at: int) -> int:
        names: set[str] = set()
        while True:
            at = _past_space(self._text, at)
            if self._text[at : at + 1] == "}":
                return at + 1
            start = at
            name, at = _scan_string(self._text, at + 1)
            if name in names and self.duplicate is None:
                self.duplicate = (*path, name)
            names.add(name)
            at = _past_space(self._text, _past_space(self._text, at) + 1)  # after the colon
            at = self._past_comma(self.value((*path, name), at, start))

    def _items(self, path: Path, at: int) -> int:
        index = 0
        while True:
            at = _past_space(self._text, at)
            if self._text[at : at + 1] == "]":
                return at + 1
            at = self._past_comma(self.value((*path, index), at))
            index += 1

    def _past_comma(self, at: int) -> int:
        at = _past_space(self._text, at)
        return at + 1 if self._text[at : at + 1] == "," else at


def _past_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()
