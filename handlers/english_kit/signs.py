"""Punctuation, which affects the prosody, and all other signs, which are read by name."""

import re
import unicodedata

from english_kit.numerals import cardinal
from english_kit.scanner import LEFT_OUT, Reader, before, behind, reader

_NAMES = {
    "@": "at",
    "&": "and",
    "%": "percent",
    "#": "hash",
    "*": "asterisk",
    "+": "plus",
    "/": "slash",
    "\\": "backslash",
    "|": "vertical bar",
    "_": "underscore",
    "~": "tilde",
    "^": "caret",
    "`": "backtick",
    "=": "equals",
    "<": "less than",
    ">": "greater than",
    "$": "dollar",
    "€": "euro",
    "£": "pound",
    "¥": "yen",
    "¢": "cent",
    "₹": "rupee",
    "₿": "bitcoin",
    "°": "degrees",
    "′": "prime",
    "″": "double prime",
    "™": "trademark",
    "®": "registered",
    "©": "copyright",
    "℠": "service mark",
    "¶": "paragraph",
    "†": "dagger",
    "‡": "double dagger",
    "•": "bullet",
    "‣": "bullet",
    "·": "dot",
    "●": "bullet",
    "■": "square",
    "★": "star",
    "☆": "star",
    "✓": "check mark",
    "✔": "check mark",
    "✗": "cross mark",
    "✘": "cross mark",
    "❤": "red heart",
    "♥": "heart",
    "♡": "heart",
    "☀": "sun",
    "☺": "smiling face",
    "☹": "frowning face",
    "←": "left arrow",
    "↑": "up arrow",
    "↓": "down arrow",
    "−": "minus",
    "¬": "not",
    "¿": "",
    "¡": "",
    "‰": "per mille",
    "µ": "micro",
    "ª": "feminine ordinal",
    "º": "degrees",
    "…": "…",
    "🏻": "light skin tone",
    "🏼": "medium light skin tone",
    "🏽": "medium skin tone",
    "🏾": "medium dark skin tone",
    "🏿": "dark skin tone",
}
_OPENING, _CLOSING = "([{⟨«‹（［【「『", ")]}⟩»›）］】」』"
_STOPS = {
    "。": ".",
    "．": ".",
    "！": "!",
    "？": "?",
    "，": ",",
    "、": ",",
    "；": ";",
    "：": ":",
    "‚": ",",
    "؟": "?",
    "،": ",",
    "؛": ";",
}
_JOINERS = "\u200d\ufe0e\ufe0f\u20e3"
_TONES = "\U0001f3fb-\U0001f3ff"
_FLAG = "\U0001f1e6-\U0001f1ff"
_EMOJI = "\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff"
_NOISE = re.compile(r"^(?:heavy|black|white) | (?:sign|symbol)$")


def name(character: str) -> str:
    """Return the name of *character*, or "" if Unicode has none."""
    if character in _NAMES:
        return _NAMES[character]
    long_name = unicodedata.name(character, "").lower().replace("-", " ")
    long_name = re.sub(r"\d{1,6}", lambda found: cardinal(int(found[0])), long_name)
    return _NOISE.sub("", long_name) or long_name


def _named(found: re.Match[str]) -> str | None:
    return name(found[0]) or None


def _numeric(found: re.Match[str]) -> str | None:
    """Read circled and other unusual digits."""
    number = unicodedata.numeric(found[0], None)
    return cardinal(int(number)) if number is not None and number == int(number) else None


def _emoji(found: re.Match[str]) -> str:
    """Read one picture, perhaps made of several characters; its meaning is a separate phrase."""
    parts = [name(each) for each in found[0] if each not in _JOINERS]
    return _phrase(found, " ".join(part for part in parts if part))


def _flag(found: re.Match[str]) -> str:
    letters = " ".join(chr(ord(each) - 0x1F1E6 + ord("A")) for each in found[0])
    return _phrase(found, f"flag of {letters}")


def _phrase(found: re.Match[str], said: str) -> str:
    """Return *said* with a comma on either side where a word is."""
    begins = ", " if before(found, 2).strip()[-1:].isalnum() else ""
    after = behind(found, 2).strip()[:1]
    return begins + said + ("," if after and after not in ",.;:!?)" else "")


def _keycap(found: re.Match[str]) -> str:
    return cardinal(int(found[0][0])) if found[0][0].isdecimal() else name(found[0][0])


def _dash(found: re.Match[str]) -> str:
    """Read a dash: between words a short one joins, a long or spaced one separates."""
    text, start, end = found.string, found.start(), found.end()
    joins = len(found[0]) == 1 and found[0] in "-‐‑"
    ahead = text[start - 1 : start]
    after = text[end : end + 1]
    if joins and ahead.isalpha() and after.isalpha():
        return "-"
    if joins and ahead.isalnum() and after.isalnum():
        return ""
    return "—"


def _single_dash(found: re.Match[str]) -> str:
    """Read a hyphen that begins a word, such as "-ing" or "--verbose"."""
    return "dash" if len(found[0]) == 1 else " ".join(["dash"] * len(found[0]))


def _repeated(found: re.Match[str]) -> str:
    signs = found[0]
    if signs.startswith("..") or "…" in signs:
        return "…"
    return "?" if "?" in signs else "!"


def _opening(found: re.Match[str]) -> str:  # noqa: ARG001
    return "("


def _closing(found: re.Match[str]) -> str:  # noqa: ARG001
    return ")"


def _stop(found: re.Match[str]) -> str:
    return _STOPS[found[0]]


def _quotation(found: re.Match[str]) -> str:
    return {"„": "“", "‟": "“", "″": "”"}.get(found[0], found[0])


def _nothing(found: re.Match[str]) -> str:  # noqa: ARG001
    return ""


def _unknown(found: re.Match[str]) -> str:  # noqa: ARG001
    return ""


KEYCAPS: list[Reader] = [
    reader(r"[0-9#*]\ufe0f?\u20e3", _keycap, "d#*"),
    reader("[ºª]", lambda found: _NAMES[found[0]], "l"),  # Unicode calls them letters
]
READERS: list[Reader] = [
    reader(rf"[{_FLAG}]{{2}}", _flag, "o"),
    reader(
        rf"[{_EMOJI}][{_JOINERS}{_TONES}]{{0,4}}(?:\u200d[{_EMOJI}][{_JOINERS}{_TONES}]{{0,4}}){{0,6}}",
        _emoji,
        "o",
    ),
    reader(r"[!?]{2,20}|\.{2,200}|…+", _repeated, "!?.…"),
    reader(r"(?<!\S)--?(?=[^\W\d])", _single_dash, "-"),
    reader(r"[-‐‑–—―‒]{1,200}", _dash, "-‐‑–—―‒"),
    reader(f"[{re.escape(_OPENING)}]", _opening, _OPENING),
    reader(f"[{re.escape(_CLOSING)}]", _closing, _CLOSING),
    reader(f"[{''.join(_STOPS)}]", _stop, "".join(_STOPS)),
    reader(r"[.,;:!?]", lambda found: found[0], ".,;:!?"),
    reader('["“”„‟]', _quotation, '"“”„‟'),
    reader(r"['‘’‚`´](?=\w)|(?<=\w)['‘’`´]|['‘’]", _nothing, "'‘’‚`´"),
    reader(
        r"[\ufe00-\ufe0f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\u00ad\u0300-\u036f\u20e3]+",
        _nothing,
        "o",
    ),
    reader(r".", _numeric, "o"),
    reader(r".", _named),
    reader(r".", _unknown, kind=LEFT_OUT),
]
