"""Amounts of money."""

import re

from synthesis_kit.rewriting import NUMBER, Rule, rule

_UNITS = {
    "$": ("dollar", "cent"),
    "€": ("euro", "cent"),
    "£": ("pound", "pence"),
    "¥": ("yen", ""),
}
_CODES = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}
_SCALES = {"k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion"}
_SCALE = r"(?:thousand|million|billion|trillion|[kKmMbB]n?)\b"
_PER = "month|year|hour|day|week|night|minute|second|person|user|head|piece|mile|gallon|kg|lb"


def _amount(found: re.Match[str]) -> str:
    sign, symbol, whole, fraction, scale = found.groups()
    unit, part = _UNITS[symbol]
    minus = "minus " if sign else ""
    if scale:
        number = f"{whole}.{fraction}" if fraction else whole
        return f"{minus}{number} {_SCALES.get(scale.lower(), scale)} {_plural(unit)}"
    units = f"{whole} {unit if whole == '1' else _plural(unit)}"
    if not fraction or fraction == "00":
        return minus + units
    if len(fraction) != 2 or not part:
        return f"{minus}{whole}.{fraction} {_plural(unit)}"
    few = fraction.lstrip("0")
    parts = f"{few} {_coins(part, few)}"
    return minus + (parts if whole == "0" else f"{units} and {parts}")


def _range(found: re.Match[str]) -> str:
    symbol, first, last, scale = found.groups()
    scale = f" {_SCALES.get(scale.lower(), scale)}" if scale else ""
    return f"{first} to {last}{scale} {_plural(_UNITS[symbol][0])}"


def _behind(found: re.Match[str]) -> str:
    """The symbol or the code behind the number, as in 20 €."""
    return f"{_CODES.get(found[2], found[2])}{found[1]}"


def _coins(part: str, few: str) -> str:
    if part == "pence":
        return "penny" if few == "1" else "pence"
    return part if few == "1" else f"{part}s"


def _plural(unit: str) -> str:
    return unit if unit == "yen" else unit + "s"


RULES: list[Rule] = [
    rule(rf"(?<![\w.,])({NUMBER}) ?(USD|EUR|GBP|JPY)\b", _behind),
    rule(rf"(?<![\w.,$€£¥])({NUMBER}) ?([€£])(?![\d])", _behind),
    rule(rf"([$€£¥])({NUMBER}) ?[-–] ?[$€£¥]?({NUMBER})(?: ?({_SCALE}))?(?!\w)", _range),
    rule(rf"([-−])?([$€£¥]) ?(\d+(?:,\d{{3}})*)(?:\.(\d+))?(?: ?({_SCALE}))?(?!\w)", _amount),
    rule(rf"\b(dollars?|cents?|euros?|pounds?|pence|yen) ?/ ?({_PER})\b", r"\1 per \2"),
]
