"""Letters of other scripts, which an English voice cannot speak.

They are omitted and reported; only a single Greek letter has an English name.
"""

import re
import unicodedata

from english_kit.scanner import LEFT_OUT, LETTER, Reader, reader

_GREEK = re.compile(r"GREEK (?:SMALL|CAPITAL) LETTER (?:FINAL )?(\w+)(?: WITH.*)?")
_LATIN = r"A-Za-zªº\u00c0-\u024f\u1e00-\u1eff\u2c60-\u2c7f\ua720-\ua7ff\u0250-\u02af"
_OTHER = rf"(?={LETTER})[^\W\d_{_LATIN}]"
_SCRIPT_NAMES = {
    "CJK": "Chinese characters",
    "HIRAGANA": "Japanese",
    "KATAKANA": "Japanese",
    "HANGUL": "Korean",
}


def script(letters: str) -> str:
    """Return the name of the script as Unicode has it: Cyrillic, Arabic, …"""
    first = unicodedata.name(letters[0], "UNKNOWN").partition(" ")[0]
    return _SCRIPT_NAMES.get(first, first.capitalize())


def greek_letter(letter: str) -> str | None:
    """Return the English name of a Greek letter."""
    name = _GREEK.fullmatch(unicodedata.name(letter, ""))
    if name is None:
        return None
    said = name[1].lower()
    return {"lamda": "lambda"}.get(said, said)


def _left_out(found: re.Match[str]) -> str:  # noqa: ARG001
    return ""


# Marks and joiners belong to the letters that they stand on.
READERS: list[Reader] = [
    reader(
        rf"(?!(?:{_OTHER}){{2}})[\u0370-\u03ff\u1f00-\u1fff]",
        lambda found: greek_letter(found[0]),
        "l",
    ),
    reader(
        rf"{_OTHER}(?:{_OTHER}|[\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u065f\u0900-\u0dff"
        r"\u0e31-\u0e4e\u0f18-\u0fbc\u1000-\u109f\u200c\u200d\u3099\u309a\u30fc々〆ー])*",
        _left_out,
        "l",
        kind=LEFT_OUT,
    ),
]
