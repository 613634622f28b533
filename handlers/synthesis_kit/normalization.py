"""What hibari's own normalisation does not read, or reads wrong: addresses, money, versions.

It runs before that one, which knows times, dates, units, titles, abbreviations, Roman numerals
and fractions; its lexicon spells acronyms.
"""

import re
from collections.abc import Callable

_SYMBOLS = {
    ".": " dot ",
    "/": " slash ",
    "-": " dash ",
    "_": " underscore ",
    ":": " colon ",
    "?": " question mark ",
    "=": " equals ",
    "&": " and ",
    "#": " hash ",
    "%": " percent ",
    "+": " plus ",
    "~": " tilde ",
}
_MONEY = {"$": ("dollar", "cent"), "€": ("euro", "cent"), "£": ("pound", "pence"), "¥": ("yen", "")}
_SCALES = {"k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion"}
_SAID = {  # names that no lexicon has, as they are said
    "JSON": "Jason",
    "YAML": "yammel",
    "README": "read me",
    "NGINX": "engine X",
    "nginx": "engine X",
    "C#": "C sharp",
    "F#": "F sharp",
    "24/7": "twenty-four seven",
}
_END = r"(?<![.,;:!?)\]'\"])"  # a sentence's punctuation is no part of an address
_TOP = "com|org|net|edu|gov|io|dev|ai|app|co|uk|de|fr|info|eu|us|ca|ch|at|nl"
_SCALE = r"thousand|million|billion|trillion|[kKmMbB]n?\b"

Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], str]]


def readable(text: str) -> str:
    """*text* with addresses, versions, amounts of money and some names as they are said."""
    for pattern, said in _RULES:
        text = pattern.sub(said, text)
    return text


def _address(found: re.Match[str]) -> str:
    address = re.sub(r"^\w+://", "", found[0]).rstrip("/").replace("@", " at ")
    said = "".join(_SYMBOLS.get(symbol, symbol) for symbol in address)
    said = re.sub(r"(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])", " ", said)
    said = re.sub(r"\bwww\b", "W W W", said, flags=re.IGNORECASE)
    return " ".join(said.split())


def _money(found: re.Match[str]) -> str:
    sign, symbol, whole, fraction, scale = found.groups()
    unit, part = _MONEY[symbol]
    said = "minus " if sign else ""
    if scale:
        number = f"{whole}.{fraction}" if fraction else whole
        return f"{said}{number} {_SCALES.get(scale.lower(), scale)} {_plural(unit)}"
    said += f"{whole} {unit if whole == '1' else _plural(unit)}"
    if fraction is None or len(fraction) != 2 or not part:
        return f"{said} point {' '.join(fraction)}" if fraction else said
    if fraction == "00":
        return said
    cents = fraction.lstrip("0")
    few = f"{cents} {part if cents == '1' or part == 'pence' else part + 's'}"
    return f"{'minus ' if sign else ''}{few}" if whole == "0" else f"{said} and {few}"


def _plural(unit: str) -> str:
    return unit if unit == "yen" else unit + "s"


def _digits(found: re.Match[str]) -> str:
    """A telephone number: digit by digit, with a pause between its groups."""
    groups = [" ".join(group) for group in re.findall(r"\d+", found[0])]
    return ("plus " if found[0].startswith("+") else "") + ", ".join(groups)


_RULES: list[Rule] = [
    (re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b"), _address),
    (re.compile(rf"\b(?:https?://|ftp://|www\.)[^\s<>()\[\]\"]+{_END}", re.IGNORECASE), _address),
    (
        re.compile(
            rf"\b(?:[a-z0-9][a-z0-9-]*\.)+(?:{_TOP})\b(?:/[^\s<>()\"]*)?{_END}", re.IGNORECASE
        ),
        _address,
    ),
    (
        re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]*\d)"),
        lambda found: found[0].replace(".", " dot "),
    ),
    (
        re.compile(r"(?<![\w.])v?\d+(?:\.\d+){2,}(?![\w.]*\d)"),
        lambda found: found[0].replace("v", "version ").replace(".", " point "),
    ),
    (
        re.compile(rf"([-−])?([$€£¥]) ?(\d+(?:,\d{{3}})*)(?:\.(\d+))?(?: ?({_SCALE}))?(?!\w)"),
        _money,
    ),
    (
        re.compile(r"(?<![\w.-])(?:\+?1[-. ])?\(?\d{3}\)?[-. ]\d{3}[-. ]\d{4}(?![\w-])"),
        _digits,
    ),
    (re.compile(r"(?<![\w.])(\d)'(\d{1,2})(?:\"|″)"), lambda found: f"{found[1]} foot {found[2]}"),
    (
        re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, _SAID))})(?!\w)"),
        lambda found: _SAID[found[0]],
    ),
]
