"""Plain numbers: cardinals, ordinals, years, fractions, ranges, scores."""

import re
import unicodedata
from typing import NamedTuple

from english_kit.dates import MONTHS
from english_kit.numerals import (
    MINUS,
    NUMBER,
    SIGN,
    SIGNED,
    SIGNED_BEGINS,
    amount,
    cardinal,
    ordinal,
    plural_of_tens,
    spelled,
    whole,
    year,
)
from english_kit.scanner import Reader, before, behind, reader

VULGAR_CHARACTERS = "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒↉"
_SLASH = "[/⁄∕]"
VULGAR = rf"[{VULGAR_CHARACTERS}]"
_OPERATORS = "=+*×÷^√<>≤≥≈≠·"
_PARTS = {2: "half", 3: "third", 4: "quarter"}
_DATED = re.compile(
    r"\b(?:on|due|by|(?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?,?)\s$"
)
_YEAR_WORDS = re.compile(
    r"\b(?:in|since|by|year|from|until|till|before|after|around|circa|of|during|and|to|late|early"
    r"|mid|spring|summer|autumn|fall|winter)[\s-]$",
    re.IGNORECASE,
)
_COUNTED = re.compile(
    r"\s(?!(?:was|is|has|as|its|this|does|less|us|his|across|perhaps|always|plus|versus)\b)"
    r"(?:[a-z]{2,}\s)?(?:[a-z]{2,}s|people|men|women|children)\b"
)
# What a measure or an amount stands before in the singular: a 5km run, a $5 bill.
_ATTRIBUTED = re.compile(
    r"\s(?:run|race|walk|hike|swim|ride|drive|bulb|lamp|bottle|bag|box|can|jar|pack|bill|note|coin"
    r"|deal|fine|loan|check|cheque|gift|ticket|screen|monitor|display|battery|engine|motor|radius"
    r"|charger|adapter|cable|file|disk|card|budget|fund|contract|investment|house|lawsuit|prize|lens|film|camera|pipe|hose|wire|rope|pole|ladder|wall|fence"
    r"|tank|angle|turn|view|dash|sprint|break|delay|wait|drop|rise|limit|oven|pause|window|gap)s?\b"
)
_COUNTS = re.compile(
    r"\s(?!ago\b|or\b|and\b|of\b|in\b|at\b|to\b|on\b|for\b|from\b|by\b|is\b|was\b)[a-z]{2}"
)
_MEASURED = re.compile(
    r"\s(?:cup|mile|pound|teaspoon|tablespoon|pint|quart|gallon|yard|minute|dollar|kilometer|meter"
    r"|liter|gram|kilo|second|year|(inch|hour|ounce|acre))\b"
)


def is_attributed(found: re.Match[str]) -> bool:
    """Return whether a measure stands before its noun, as in "a 5 ft pole" or "50mm lenses"."""
    after = behind(found, 16)
    counted = re.search(r"\b[Aa]n?\s$", before(found, 3)) and _COUNTS.match(after)
    return bool(counted or _ATTRIBUTED.match(after))


class Fraction(NamedTuple):
    """A fraction in words; *single*: less than one, so that a unit after it is singular."""

    said: str
    single: bool


def _parts(over: int, under: int) -> str:
    """Return a fraction in words: 3/8 as "three eighths"."""
    name = _PARTS.get(under) or ordinal(under)
    if over == 1:
        return f"one {name}"
    several = "halves" if under == 2 else f"{name}s"
    return f"{cardinal(over)} {several}"


def _mixed(integer: str, over: int, under: int) -> str:
    """Return a mixed number in words: 1½ as "one and a half"."""
    part = f"a {_PARTS[under]}" if over == 1 and under in _PARTS else _parts(over, under)
    return f"{amount(integer)} and {part}"


def _split(character: str) -> tuple[int, int]:
    if character == "↉":
        return 0, 3
    over, under = re.findall(r"\d+", unicodedata.normalize("NFKC", character))
    return int(over), int(under)


def fraction_of(written: str) -> Fraction | None:
    """Return the fraction in "½", "1½", "3/4" or "1 3/4"; None for anything else."""
    if written[-1] in VULGAR_CHARACTERS:
        over, under = _split(written[-1])
        integer = written[:-1].rstrip(" -")
    else:
        found = re.fullmatch(rf"(?:(.+)[ -])?(\d{{1,3}}){_SLASH}(\d{{1,3}})", written)
        if found is None:
            return None
        integer, over, under = found[1] or "", int(found[2]), int(found[3])
    if under == 0 or (over == 0 and not integer):
        return None
    if integer:
        return Fraction(_mixed(integer, over, under), single=False)
    return Fraction(_parts(over, under), single=over < under)


def vulgar(written: str) -> str:
    """Return *written*, a number or a fraction, in words."""
    part = fraction_of(written)
    return amount(written) if part is None else part.said


def _said_fraction(found: re.Match[str]) -> str | None:
    part = fraction_of(found[0])
    return None if part is None else _of_what(found, part)


def _of_what(found: re.Match[str], part: Fraction) -> str:
    """Read a fraction of something: "¾ cup" as "three quarters of a cup"."""
    if not part.single:
        return part.said
    after = behind(found, 14)
    if part.said == "one half" and re.match(r"\s(?:an?|the|my|his|her|our|their)\b", after):
        return "half"
    measured = _MEASURED.match(after)
    return part.said + (f" of {'an' if measured[1] else 'a'}" if measured else "")


def _slashed(found: re.Match[str]) -> str | None:
    """Read two numbers with a slash, such as "3/8", "12/25 (Christmas)" or "4/5 stars"."""
    over, under = int(found[1]), int(found[2])
    after = behind(found, 12)
    from_dates = _DATED.search(before(found, 14)) is not None
    if in_equation(found):
        return f"{cardinal(over)} divided by {cardinal(under)}"
    if re.match(r"\s(?:stars?|points?)\b", after) or (over == under != 0 and not from_dates):
        return f"{cardinal(over)} out of {cardinal(under)}"
    possible = 1 <= over <= 12 and 1 <= under <= 31
    usual = under <= 10 or under in {16, 32, 64, 100, 1000}
    if under == 10 and 0 < over < under and _COUNTED.match(behind(found)) and not from_dates:
        return f"{cardinal(over)} out of {cardinal(under)}"  # 9/10 dentists
    if 0 < over < under and usual and not (from_dates and possible):
        return _of_what(found, Fraction(_parts(over, under), single=True))
    if possible and (from_dates or over < under):
        return f"{MONTHS[over - 1]} {ordinal(under)}"
    return f"{whole(found[1])} over {whole(found[2])}"


def in_equation(found: re.Match[str]) -> bool:
    """Return whether an operator stands beside what was found."""
    ahead, after = before(found, 4).rstrip(" ("), behind(found, 4).lstrip(" )")
    return ahead[-1:] in tuple(_OPERATORS) or after[:1] in tuple(_OPERATORS)


def _ordinal(found: re.Match[str]) -> str:
    number = int(re.sub(r"\D", "", found[1]))
    said = ("minus " if found[1][0] in MINUS else "") + ordinal(number)
    if not found[2]:
        return said
    return f"{said}'s" if "'" in found[2] or "’" in found[2] else f"{said}s"


def _range(found: re.Match[str]) -> str | None:
    """Read a range such as "10-20"; "10-3=7" is a difference."""
    first, dash, last = found.groups()
    if dash.strip() == "−" or in_equation(found):
        return f"{amount(first)} minus {amount(last)}"
    if first == last:
        return f"{amount(first)}-{amount(last)}"  # a 50-50 chance
    ends = year(int(last)) if _is_year(last) and _is_year(first) else amount(last)
    begins = year(int(first)) if _is_year(last) and _is_year(first) else amount(first)
    return f"{begins} to {ends}"


def _is_year(digits: str) -> bool:
    return len(digits) == 4 and digits.isdecimal() and 1100 <= int(digits) <= 2099


def _year(found: re.Match[str]) -> str | None:
    """Read a bare number of four digits as a year, unless something is counted with it."""
    number = int(found[1])
    ahead = _YEAR_WORDS.search(before(found, 12)) is not None
    if in_equation(found):
        return None
    if ahead or (_is_year(found[1]) and not _COUNTED.match(behind(found))):
        return year(number) + ("'s" if found[2] else "")
    return None


def _power_of_ten(found: re.Match[str]) -> str:
    exponent = amount(found[2].removeprefix("+"))
    return f"{amount(found[1])} times ten to the power of {exponent}"


def _plain(found: re.Match[str]) -> str:
    """Read a plain number; a long one without groups is read as a telephone or card number."""
    digits = found[0].lstrip(MINUS + "+±")
    if digits.isdecimal() and len(digits) >= 10 and not digits.endswith("00000"):
        return amount(found[0][: -len(digits)] + "0").removesuffix("zero") + _in_groups(digits)
    return amount(found[0])


def _in_groups(digits: str) -> str:
    """Return the digits with pauses: ten of them as Americans group them, else by four."""
    if len(digits) == 10:
        groups = [digits[:3], digits[3:6], digits[6:]]
    else:
        groups = re.findall(r"\d{1,4}", digits)
    return ", ".join(map(spelled, groups))


def _plural(found: re.Match[str]) -> str:
    """Read a number in the plural, such as "747s" or "10s"."""
    number = int(found[1])
    return (
        plural_of_tens(number) if found[1][0] != "0" and number < 10**6 else f"{whole(found[1])}s"
    )


def _times(found: re.Match[str]) -> str:
    return f"{amount(found[1])} times"


def _times_range(found: re.Match[str]) -> str:
    """Read a range of multiples, such as "3-5x"."""
    return f"{amount(found[1])} to {amount(found[2])} times"


def _record(found: re.Match[str]) -> str:
    """Read games won, lost and drawn, such as "3-0-1"."""
    return ", ".join(cardinal(int(each)) for each in found.groups())


_ORDINAL_END = "(?:st|nd|rd|th|ST|ND|RD|TH|ˢᵗ|ⁿᵈ|ʳᵈ|ᵗʰ)"

READERS: list[Reader] = [
    reader(rf"(?<![\w.])({SIGN}?{NUMBER}){_ORDINAL_END}(s|['’]s)?(?!\w)", _ordinal, SIGNED_BEGINS),
    reader(r"(?<![\w.])(\d{1,6})[ºª]()(?![CF])", _ordinal, "d"),
    reader(rf"(?<![\w./]){SIGNED}[ -]?{VULGAR}", _said_fraction, SIGNED_BEGINS),
    reader(rf"(?<!\w){VULGAR}", _said_fraction, VULGAR_CHARACTERS),
    reader(rf"{SIGNED}[ -]\d{{1,2}}{_SLASH}\d{{1,2}}(?![\w/])", _said_fraction, SIGNED_BEGINS),
    reader(rf"(?<![\w.,/])(\d{{1,4}}) ?{_SLASH} ?(\d{{1,4}})(?![\w/]|[.,]\d)", _slashed, "d"),
    reader(rf"({SIGNED})[eE]([+−-]?\d{{1,3}})(?!\w)", _power_of_ten, SIGNED_BEGINS),
    reader(rf"({SIGNED})\s?[-–]\s?({NUMBER})x(?!\w)", _times_range, SIGNED_BEGINS),
    reader(r"(?<![\w.-])(\d{1,2})[-–](\d{1,2})[-–](\d{1,2})(?![\w-]|\s?=)", _record, "d"),
    reader(rf"({SIGNED})(\s?[-–—−]\s?)([-−]?{NUMBER})(?![\w]|[-–]\d)", _range, SIGNED_BEGINS),
    reader(r"#(?=\d{1,12}(?![^\W_]))", "number", "#"),
    reader(r"(?<!\w)([A-Z])[-–]([A-Z])(?![\w-])", r"\1 to \2", "l"),
    reader(r"(?<![\w.,])(\d{4})(['’]s)?(?![\w%]|[.,]\d)", _year, "d"),
    reader(r"(?<![\w.,])(\d{1,6})['’]?s(?!\w)", _plural, "d"),
    reader(rf"({SIGNED})x(?=\s[a-z])", _times, SIGNED_BEGINS),
    reader(SIGNED, _plain, SIGNED_BEGINS),
    reader(r"\d{1,30}", lambda found: whole(found[0]), "d"),
]
