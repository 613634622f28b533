"""Numbers in the many ways that people write them: measures, ranges, sums, telephone numbers."""

import re

from hibari.g2p.numbers import ordinal

from synthesis_kit.rewriting import NUMBER, Rule, rule, spaced

_UNITS = {  # those that hibari's normalisation lacks: one, several
    "m": ("meter", "meters"),
    "g": ("gram", "grams"),
    "L": ("liter", "liters"),
    "l": ("liter", "liters"),
    "h": ("hour", "hours"),
    "W": ("watt", "watts"),
    "V": ("volt", "volts"),
    "Ω": ("ohm", "ohms"),
    "dB": ("decibel", "decibels"),
    "kcal": ("kilocalorie", "kilocalories"),
    "m/s": ("meter per second", "meters per second"),
    "MB/s": ("megabyte per second", "megabytes per second"),
    "GB/s": ("gigabyte per second", "gigabytes per second"),
    "m²": ("square meter", "square meters"),
    "km²": ("square kilometer", "square kilometers"),
    "m³": ("cubic meter", "cubic meters"),
    "sq m": ("square meter", "square meters"),
}
_MONTHS = (
    "January|February|March|April|May|June|July|August|September|October|November|December"
    "|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec"
)
_PARTS = {"2": "a half", "3": "a third", "4": "a quarter"}
_THIN = "\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}"


def _unit(found: re.Match[str]) -> str:
    number, unit = found.groups()
    return f"{number} {_UNITS[unit][number != '1']}"


def _telephone(found: re.Match[str]) -> str:
    """Digit by digit, with a pause between its groups."""
    groups = [spaced(group) for group in re.findall(r"\d+", found[0])]
    return ("plus " if found[0].startswith("+") else "") + ", ".join(groups)


def _days(found: re.Match[str]) -> str:
    month, first, last = found.groups()
    return f"{month} {first} to {ordinal(int(last))}"


def _mixed(found: re.Match[str]) -> str:
    whole, part, of = found.groups()
    if int(part) == 1 and of in _PARTS:
        return f"{whole} and {_PARTS[of]}"
    return f"{whole} and {part}/{of}"


def _times(found: re.Match[str]) -> str:
    """3 x 4: a product where it has a result, else a size."""
    word = "times" if found.string[found.end() :].lstrip(" 0123456789.").startswith("=") else "by"
    return f"{found[1]} {word} "


def _version(found: re.Match[str]) -> str:
    return found[0].replace("v", "version ").replace(".", " point ")


def _half_day(found: re.Match[str]) -> str:
    """9am: dotted, so that the letters are spelled."""
    stop = "" if found.string[found.end() :].startswith(".") else "."
    return f"{found[1]} {found[2].upper()}.M{stop}"


_UNIT = "|".join(sorted(_UNITS, key=len, reverse=True))

RULES: list[Rule] = [
    rule(rf"(?<=\d)[{_THIN}](?=\d{{3}}(?!\d))|(?<=\d) (?=000(?!\d))", ","),
    rule(r"[−‒](?=\d)", "-"),
    rule(r"(?<![\w.])v?\d+(?:\.\d+){2,6}(?!\.?\w)", _version),
    rule(r"(?<![\w.-])(?:\+?1[-. ])?\(?\d{3}\)?[-. ]\d{3}[-. ]\d{4}(?![\w-])", _telephone),
    rule(r"(?<![\w.])\+\d{1,3}(?:[-. ]\(?\d{2,5}\)?){2,5}(?![\w-])", _telephone),
    rule(r"(?<![\w.-])0\d{2,4}(?:[- ]\d{3,4}){1,3}(?![\w-])", _telephone),
    rule(
        r"\b([Cc]all|[Dd]ial|[Pp]hone) (\d{3})\b(?![-\d])",
        lambda found: f"{found[1]} {spaced(found[2])}",
    ),
    rule(r"(?<![\w.,:/+-])(?:0\d+|\d{16,})(?![\w,:/-]|\.\d)", lambda found: spaced(found[0])),
    rule(r"(?<![\w.])(\d)['′](\d{1,2})(?:\"|″)", r"\1 foot \2"),
    rule(r"\b(f(?:t|oot|eet) \d{1,2}) in\b", r"\1 inches"),
    rule(r"(?<![\w.])(\d+(?:\.\d+)?)(?:″| in\.(?= [a-z])| in(?=\.$))", r"\1 inches"),
    rule(rf"\b({_MONTHS})\.? (\d{{1,2}}) ?[-–] ?(\d{{1,2}})\b(?![-/:%])", _days),
    rule(
        r"(\b\d{1,2}(?::\d{2})?(?: ?[ap]\.?m\.?)?) ?[-–] ?"
        r"(?=\d{1,2}:\d{2}|\d{1,2} ?[ap]\.?m)",
        r"\1 to ",
    ),
    rule(r"\b(\d{1,2}) ?([AaPp])\.?[Mm]\b\.?", _half_day),
    rule(r"(?<![\w:])(1[3-9]|2[0-3]):00(?![\w:])(?! ?[ap]\.?m)", r"\1 hundred"),
    rule(r"(?<![\w:.])(\d{1,3}):(\d)(?![\w:.]\d|\d)", r"\1 to \2"),
    rule(rf"(?<![\w.-])({NUMBER}) ?[-–] ?({NUMBER}) ?%", r"\1 to \2%"),
    rule(r"(?<![\w./])(\d+)[ -](\d)/(\d{1,2})(?![\w/])", _mixed),
    rule(rf"(?<![\w.,])({NUMBER}) - (?={NUMBER} ?=)", r"\1 minus "),
    rule(r"(?<![\w.])((?!0x)\d+(?:\.\d+)?(?: (?:cm|mm|km|m|ft|in))?) ?x ?(?=\d)", _times),
    rule(r"(?<![\w.])(\d(?:\.\d+)?)[eE]([+-]?\d{1,3})\b", r"\1 times 10 to the power of \2"),
    rule(rf"(?<![\w.$€£])({NUMBER})M\b", r"\1 million"),
    rule(r"[~≈] ?(?=\d)", "about "),
    rule(r" ?≥ ?(?=[\w-])", " at least "),
    rule(r" ?≤ ?(?=[\w-])", " at most "),
    rule(r" ?≠ ?(?=[\w-])", " is not equal to "),
    rule(rf"(?<![\w.$€£])({NUMBER}) ?({_UNIT})(?![\w'’/-])", _unit),
]
