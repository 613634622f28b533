"""Text whose kind is stated in a document: SSML's <say-as interpret-as="…">.

The kinds are those of the W3C's note on say-as and of the common speech services:
https://www.w3.org/TR/ssml-sayas/.
"""

import re

from english_kit.dates import MONTHS
from english_kit.identifiers import grouped
from english_kit.numerals import cardinal, letters_and_digits, ordinal, spelled, whole, year
from english_kit.signs import name

_AS_READ = frozenset({"time", "currency", "unit", "fraction", "address", "money", "duration"})
_CHARACTERS = frozenset({"characters", "spell-out", "verbatim"})
KINDS = tuple(
    sorted(
        _AS_READ | _CHARACTERS | {"cardinal", "number", "ordinal", "digits", "date", "telephone"}
    )
)
_FORMATS = frozenset({"mdy", "dmy", "ymd", "md", "dm", "ym", "my", "y", "m", "d"})


def said_as(text: str, kind: str, form: str | None = None) -> str:
    """Return *text*, which is of *kind*, in words.  *form* is the format of a date.

    Text that the reader of plain text reads correctly is returned unchanged.  Raises ValueError
    with the valid kinds or formats, or what was expected of the text.
    """
    text = " ".join(text.split())
    if kind not in KINDS:
        raise ValueError(f"interpret-as: expected one of: {', '.join(KINDS)}")
    if kind in _AS_READ:
        return text
    if kind in _CHARACTERS:
        return _characters(text)
    if kind == "telephone":
        plus = "plus " if text.startswith("+") else ""
        return plus + grouped(text)
    if kind == "digits":
        return spelled(re.sub(r"\D", "", text))
    if kind == "date":
        return _date(text, form)
    return _number(text, kind)


def _characters(text: str) -> str:
    return " ".join(
        letters_and_digits(each) if each.isalnum() else name(each) for each in text if each != " "
    )


def _number(text: str, kind: str) -> str:
    digits = re.fullmatch(r"([-−]?)(\d[\d,]*)(?:\.0+)?(?:st|nd|rd|th)?", text)
    if digits is None:
        if kind == "ordinal":
            raise ValueError(f"interpret-as: an ordinal is a whole number, not {text!r}")
        return text
    number = digits[2].replace(",", "")
    minus = "minus " if digits[1] else ""
    if kind == "ordinal":
        return minus + (ordinal(int(number)) if len(number) <= 15 else whole(number))
    return minus + (cardinal(int(number)) if len(number) <= 15 else spelled(number))


def _date(text: str, form: str | None) -> str:
    parts = re.findall(r"\d+", text)
    if form is None or not parts or re.search(r"[^\W\d_]", text):
        return text
    if form not in _FORMATS:
        raise ValueError(f"format: expected one of: {', '.join(sorted(_FORMATS))}")
    if len(parts) != len(form):
        raise ValueError(f"format: {form} needs {len(form)} numbers, not {text!r}")
    given = dict(zip(form, map(int, parts), strict=True))
    if not 1 <= given.get("m", 1) <= 12 or not 1 <= given.get("d", 1) <= 31:
        raise ValueError(f"format: {text!r} is not a date of the form {form}")
    said = []
    if "m" in given:
        said.append(MONTHS[given["m"] - 1])
    if "d" in given:
        said.append(ordinal(given["d"]))
    if "y" in given:
        said.append(year(given["y"]))
    return ", ".join([" ".join(said[:-1]), said[-1]]) if len(said) == 3 else " ".join(said)
