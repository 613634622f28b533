"""Numbers with a unit: one or a range of them; percentages, degrees, feet and inches."""

import re

from english_kit.numerals import SIGNED, SIGNED_BEGINS, amount, cardinal, is_one, year
from english_kit.quantities import (
    VULGAR,
    VULGAR_CHARACTERS,
    fraction_of,
    in_equation,
    is_attributed,
    vulgar,
)
from english_kit.scanner import Reader, before, behind, reader

_PREFIXES = {
    "k": "kilo",
    "M": "mega",
    "G": "giga",
    "T": "tera",
    "P": "peta",
    "m": "milli",
    "µ": "micro",
    "μ": "micro",
    "n": "nano",
    "p": "pico",
}
# What takes which prefixes; the plural is made with s, but for hertz and the like.
_BASES = {
    "m": ("meter", "kmµμnp"),
    "g": ("gram", "kmµμn"),
    "L": ("liter", "kmµμ"),
    "l": ("liter", "mµμ"),
    "s": ("second", "mµμnp"),
    "W": ("watt", "kMGTmµ"),
    "Wh": ("watt hour", "kMGT"),
    "V": ("volt", "kMmµμ"),
    "A": ("amp", "kmµμ"),
    "Ah": ("amp hour", "m"),
    "Hz": ("hertz", "kMGT"),
    "Pa": ("pascal", "kMG"),
    "J": ("joule", "kM"),
    "N": ("newton", "kM"),
    "Ω": ("ohm", "kM"),
    "F": ("farad", "mµμnp"),
    "B": ("byte", "kMGTP"),
    "b": ("bit", "MGT"),
    "T": ("tesla", "mµ"),
    "bit": ("bit", "kMG"),
    "bps": ("bit per second", "kMGT"),
    "cal": ("calorie", "k"),
    "eV": ("electron volt", "kMG"),
    "mol": ("mole", "mµ"),
    "Sv": ("sievert", "mµ"),
    "bar": ("bar", "m"),
    "px": ("pixel", "M"),
}
_OWN = {
    "cm": ("centimeter", "centimeters"),
    "dm": ("decimeter", "decimeters"),
    "cl": ("centiliter", "centiliters"),
    "dl": ("deciliter", "deciliters"),
    "hPa": ("hectopascal", "hectopascals"),
    "KB": ("kilobyte", "kilobytes"),
    "KiB": ("kibibyte", "kibibytes"),
    "MiB": ("mebibyte", "mebibytes"),
    "GiB": ("gibibyte", "gibibytes"),
    "TiB": ("tebibyte", "tebibytes"),
    "dB": ("decibel", "decibels"),
    "dBA": ("decibel A", "decibels A"),
    "ha": ("hectare", "hectares"),
    "lb": ("pound", "pounds"),
    "lbs": ("pound", "pounds"),
    "oz": ("ounce", "ounces"),
    "fl oz": ("fluid ounce", "fluid ounces"),
    "ft": ("foot", "feet"),
    "mi": ("mile", "miles"),
    "yd": ("yard", "yards"),
    "yds": ("yard", "yards"),
    "mph": ("mile per hour", "miles per hour"),
    "kph": ("kilometer per hour", "kilometers per hour"),
    "kmh": ("kilometer per hour", "kilometers per hour"),
    "mpg": ("mile per gallon", "miles per gallon"),
    "rpm": ("revolution per minute", "revolutions per minute"),
    "bpm": ("beat per minute", "beats per minute"),
    "psi": ("pound per square inch", "pounds per square inch"),
    "ppm": ("part per million", "parts per million"),
    "fps": ("frame per second", "frames per second"),
    "dpi": ("dot per inch", "dots per inch"),
    "gal": ("gallon", "gallons"),
    "kgs": ("kilogram", "kilograms"),
    "KG": ("kilogram", "kilograms"),
    "kms": ("kilometer", "kilometers"),
    "KM": ("kilometer", "kilometers"),
    "gm": ("gram", "grams"),
    "gms": ("gram", "grams"),
    "mls": ("milliliter", "milliliters"),
    "mmHg": ("millimeter of mercury", "millimeters of mercury"),
    "K": ("kelvin", "kelvin"),
    "Nm": ("newton meter", "newton meters"),
    "N·m": ("newton meter", "newton meters"),
    "kΩ": ("kilohm", "kilohms"),
    "MΩ": ("megohm", "megohms"),
    "ac": ("acre", "acres"),
    "sq cm": ("square centimeter", "square centimeters"),
    "sq in": ("square inch", "square inches"),
    "sq yd": ("square yard", "square yards"),
    "cu. ft.": ("cubic foot", "cubic feet"),
    "cu in": ("cubic inch", "cubic inches"),
    "cu m": ("cubic meter", "cubic meters"),
    "qt": ("quart", "quarts"),
    "pt": ("pint", "pints"),
    "tbsp": ("tablespoon", "tablespoons"),
    "Tbsp": ("tablespoon", "tablespoons"),
    "tbsps": ("tablespoon", "tablespoons"),
    "tsp": ("teaspoon", "teaspoons"),
    "tsps": ("teaspoon", "teaspoons"),
    "h": ("hour", "hours"),
    "hr": ("hour", "hours"),
    "hrs": ("hour", "hours"),
    "min": ("minute", "minutes"),
    "mins": ("minute", "minutes"),
    "sec": ("second", "seconds"),
    "secs": ("second", "seconds"),
    "d": ("day", "days"),
    "w": ("week", "weeks"),
    "wk": ("week", "weeks"),
    "wks": ("week", "weeks"),
    "mo": ("month", "months"),
    "mos": ("month", "months"),
    "yr": ("year", "years"),
    "yrs": ("year", "years"),
    "y": ("year", "years"),
    "doz": ("dozen", "dozen"),
    "mcg": ("microgram", "micrograms"),
    "l/100 km": ("liter per one hundred kilometers", "liters per one hundred kilometers"),
    "l/100km": ("liter per one hundred kilometers", "liters per one hundred kilometers"),
    "L/100 km": ("liter per one hundred kilometers", "liters per one hundred kilometers"),
    "L/100km": ("liter per one hundred kilometers", "liters per one hundred kilometers"),
    "hp": ("horsepower", "horsepower"),
    "cc": ("cubic centimeter", "cubic centimeters"),
    "sq ft": ("square foot", "square feet"),
    "sq. ft.": ("square foot", "square feet"),
    "sq mi": ("square mile", "square miles"),
    "sq m": ("square meter", "square meters"),
    "sq km": ("square kilometer", "square kilometers"),
    "cu ft": ("cubic foot", "cubic feet"),
    "pct": ("percent", "percent"),
    "pp": ("percentage point", "percentage points"),
    "inch": ("inch", "inches"),
    "MP": ("megapixel", "megapixels"),
    "pH": ("P H", "P H"),
    "%": ("percent", "percent"),
    "‰": ("per mille", "per mille"),
    "°C": ("degree Celsius", "degrees Celsius"),
    "°F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "° C": ("degree Celsius", "degrees Celsius"),
    "° F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "ºC": ("degree Celsius", "degrees Celsius"),
    "ºF": ("degree Fahrenheit", "degrees Fahrenheit"),
    "℃": ("degree Celsius", "degrees Celsius"),
    "℉": ("degree Fahrenheit", "degrees Fahrenheit"),
    "°": ("degree", "degrees"),
    "C": ("degree Celsius", "degrees Celsius"),
    "F": ("degree Fahrenheit", "degrees Fahrenheit"),
}
_GLUED_ONLY = frozenset(
    {
        "w",
        "A",
        "B",
        "b",
        "F",
        "J",
        "N",
        "T",
        "d",
        "y",
        "pt",
        "mo",
        "pp",
        "s",
        "MP",
        "bar",
        "bit",
        "cal",
        "W",
    }
)
_NEVER_ALONE = frozenset({"B", "b", "T", "F"})  # 5B is five billion, or a flat
_SCALES = {
    "k": "thousand",
    "K": "thousand",
    "M": "million",
    "mn": "million",
    "bn": "billion",
    "B": "billion",
}


def _plural(name: str) -> str:
    if name.endswith(("hertz", "bar")):
        return name
    head, _, per = name.partition(" per ")
    return f"{head}s per {per}" if per else f"{name}s"


def _units() -> dict[str, tuple[str, str]]:
    units = dict(_OWN)
    for sign, (name, prefixes) in _BASES.items():
        if sign not in _NEVER_ALONE:
            units.setdefault(sign, (name, _plural(name)))
        for prefix in prefixes:
            long_name = _PREFIXES[prefix] + name
            units.setdefault(prefix + sign, (long_name, _plural(long_name)))
    return units


_UNITS = _units()
_POWERS = {"²": "square", "³": "cubic", "^2": "square", "^3": "cubic", "2": "square", "3": "cubic"}
_RAISED = r"(?:\^?[23](?!\d)|[²³])?"


def _alternatives(names: "set[str] | frozenset[str] | dict[str, tuple[str, str]]") -> str:
    return "|".join(re.escape(each) for each in sorted(names, key=len, reverse=True))


_LENGTHS = r"(?:[kcdmµμn]?m|ft|in|mi|yd|s)"
_ONE = rf"(?:{_LENGTHS}{_RAISED}(?!\w)|(?:{_alternatives(_UNITS)})(?!\w|²|³))"
_UNIT = rf"({_ONE})(?:\s?/\s?({_ONE}|person|day|week|month|year|hour))?"
_EITHER = rf"(?:{VULGAR}|{SIGNED}(?:[ -]?{VULGAR}|[ -]\d{{1,2}}/\d{{1,2}})?|\d{{1,2}}/\d{{1,2}})"
_EITHER_BEGINS = SIGNED_BEGINS + VULGAR_CHARACTERS


def unit_name(unit: str, *, single: bool) -> str | None:
    """Return the name of *unit*, which may have a power: km² as "square kilometers"."""
    if unit in _UNITS:
        return _UNITS[unit][0 if single else 1]
    base = unit.rstrip("^23²³")
    power = _POWERS.get(unit[len(base) :])
    names = {"in": ("inch", "inches")}.get(base) or _UNITS.get(base)
    if names is None:
        return None
    name = names[0 if single else 1]
    return f"{power} {name}" if power else name


def _bare(unit: str) -> tuple[str, str | None]:
    if unit in _UNITS or "/" not in unit:
        return unit, None
    unit, _, per = unit.partition("/")
    return unit, per


def _names(unit: str, per: str | None, *, single: bool) -> str | None:
    name = unit_name(unit, single=single)
    if name is None or per is None:
        return name
    squared = {"s²": "second squared", "s2": "second squared", "s^2": "second squared"}
    divisor = squared.get(per) or unit_name(per, single=True) or per
    return f"{name} per {divisor}"


def _allowed(unit: str, space: str) -> bool:
    """Return whether *unit* may follow *space*: in "5 A grades" the letter is rather a word."""
    return not (space and unit in _GLUED_ONLY) or unit in {"s", "W"}


def _measure(found: re.Match[str]) -> str | None:
    """Read a number with its unit, such as "25s", "-3.5 km/h", "1½ cups" or "3/4 in"."""
    number, space, unit, per = found.groups()
    if unit == "in" or not _allowed(unit, space) or _is_no_measure(found):
        return None
    part = fraction_of(number)
    hyphen = "-" in space
    single = is_one(number) if part is None else part.single
    single = single or hyphen or is_attributed(found)
    said = _names(unit, per, single=single)
    if said is None:
        return None
    if part is not None and part.single and not hyphen and unit != "%":
        article = "an" if said[0] in "aeiou" else "a"
        return f"{part.said} of {article} {said}"
    return f"{amount(number) if part is None else part.said} {said}"


def _is_no_measure(found: re.Match[str]) -> bool:
    """Return whether it only looks like one: "Seat 14C", "300K people", "2x + 3y", "7 % 3"."""
    number, space, unit, _ = found.groups()
    if unit in {"C", "F"}:
        is_place = _PLACES.search(before(found, 14)) is not None
        return bool(space or is_place or not re.search(r"\d\d|[-−+]", number))
    if unit == "K":
        return not space
    if unit == "%":
        return bool(space and re.match(r"\s\d", behind(found, 2)))
    return unit in {"y", "d", "w"} and in_equation(found)


def _range(found: re.Match[str]) -> str | None:
    """Read a range with a unit, such as "5-10 km", "-5 to -10 °C" or "10%-20%"."""
    first, first_unit, last, space, unit, per = found.groups()
    if not _allowed(unit, space) or unit == "in":
        return None
    said = _names(unit, per, single="-" in space)
    if said is None or (first_unit and first_unit != unit):
        return None
    begins, ends = vulgar(first), vulgar(last)
    return f"{begins} to {ends} {said}"


def _duration(found: re.Match[str]) -> str:
    """Read a duration such as "1h 30m" or "5m30s", in which m means minutes."""
    names = {"d": "day", "h": "hour", "m": "minute", "s": "second"}
    parts = re.findall(r"(\d+)\s?([dhms])", found[0])
    return " ".join(
        f"{cardinal(int(number))} {names[unit]}{'' if number == '1' else 's'}"
        for number, unit in parts
    )


def _feet(found: re.Match[str]) -> str:
    r"""Read a height such as "5'10\" tall"."""
    feet, inches = found.groups()
    named = "foot" if feet == "1" or inches else "feet"
    return f"{cardinal(int(feet))} {named}" + (f" {amount(inches)}" if inches else "")


def _angle(found: re.Match[str]) -> str:
    r"""Read an angle such as "37°46'30\"N" or "122.4194° W"."""
    degrees, minutes, seconds, side = found.groups()
    parts = [(degrees, "degree"), (minutes, "minute"), (seconds, "second")]
    said = [f"{amount(each)} {name}{'' if is_one(each) else 's'}" for each, name in parts if each]
    return " ".join([*said, *([_SIDES[side]] if side else [])])


def _side_ahead(found: re.Match[str]) -> str:
    """Read a coordinate whose side comes first, such as "N 40° 42'"."""
    return _SIDES[found[0]]


def _bare_feet(found: re.Match[str]) -> str | None:
    """Read feet without inches, as in "5' tall"; in "'take 5'" the mark ends a quotation."""
    ahead = before(found, 200)
    if len(re.findall(r"(?<!\w)['‘](?=\w|$)", ahead)) > len(
        re.findall(r"(?<=\w)['’](?!\w)", ahead)
    ):
        return None
    return f"{cardinal(int(found[1]))} {'foot' if found[1] == '1' else 'feet'}"


def _feet_and_inches(found: re.Match[str]) -> str:
    feet, inches = int(found[1]), int(found[2])
    said = f"{cardinal(feet)} {'foot' if feet == 1 else 'feet'}"
    return f"{said} {cardinal(inches)} {'inch' if inches == 1 else 'inches'}"


def _inches(found: re.Match[str]) -> str | None:
    r"""Read inches, as in "6 in.", "3/4\"" and "27\" screens": "in" is a word as well."""
    number, space, sign = found.groups()
    if sign.startswith("in") and not _is_inch(found, space):
        return None
    if sign in {'"', "”", "''"} and _opens_quotation(found):
        return None
    part = fraction_of(number)
    single = is_one(number) if part is None else part.single
    hyphen = "-" in space
    said = amount(number) if part is None else part.said
    if part is not None and part.single:
        return f"{said} of an inch"
    before_noun = re.match(
        r"\s(?!(?:wide|long|tall|high|deep|thick|by|x|and|or|in|of|to|from|on|at|is|was)\b)[a-z]",
        behind(found, 8),
    )
    return (
        f"{said} inch"
        if single or hyphen or (before_noun and "in" not in sign)
        else f"{said} inches"
    )


def _is_inch(found: re.Match[str], space: str) -> bool:
    after = behind(found, 14)
    return bool(
        not space
        or "-" in space
        or found[0].endswith(".")
        or re.match(r"\.?$|\.?[)\]]|\s(?:x|by|wide|long|tall|high|deep|thick|of)\b|,", after)
        or re.search(r"(?:ft|feet|foot)\.?\s$", before(found, 6))
    )


def _opens_quotation(found: re.Match[str]) -> bool:
    """Return whether a quotation is open that this mark may end."""
    ahead = before(found, 200)
    opened = len(re.findall(r"(?:^|[\s(])[\"“]", ahead))
    return opened > len(re.findall(r"(?<=[^\d\s])[\"”]", ahead))


def _scaled(found: re.Match[str]) -> str | None:
    """Read "2.5M users" and "10k"; 4K is a size of pictures, and apartment 4B not billions."""
    is_place = _PLACES.search(before(found, 14)) or re.match(r"\s[A-Z]", behind(found, 2))
    if found[2] in "BM" and is_place:
        return None  # apartment 4B, 221B Baker Street
    if re.search(r"\w[-–]$", before(found, 2)):
        return None  # the processor i7-9700K
    if found[0] in {"2K", "4K", "8K"} or (found[2] in "kK" and _RACE.match(behind(found, 10))):
        return f"{amount(found[1])} K"
    return f"{amount(found[1])} {_SCALES[found[2]]}"


def _by(found: re.Match[str]) -> str | None:
    """Read "3 x 4": a size, or a product if a result follows."""
    ahead, after = before(found, 12), behind(found)
    if not re.search(r"\d(?:\s?(?:[kcmµn]?m|ft|in|yd|px))?[\"″”%]?\s?$", ahead):
        return None
    if ahead[-1:].isspace() != after[:1].isspace() and found[0] in "xX":
        return None  # 2 x86 processors
    is_product = re.match(r"[\s\d.x×]{1,30}=|\s?10(?:\^|\*\*|[⁰¹²³⁴⁵⁶⁷⁸⁹⁻])", after)
    return "times" if is_product else "by"


def _pixels(found: re.Match[str]) -> str:
    """Read a size in pixels: 1920x1080 as "nineteen twenty by ten eighty"."""
    return " by ".join(year(int(each)) if len(each) > 3 else _pair(each) for each in found.groups())


def _pair(digits: str) -> str:
    """Return three digits in two parts: 720 as "seven twenty", 800 as "eight hundred"."""
    if digits[1:] == "00":
        return cardinal(int(digits))
    last = cardinal(int(digits[1:]))
    return f"{cardinal(int(digits[0]))} {'oh ' if digits[1] == '0' else ''}{last}"


def _lines(found: re.Match[str]) -> str:
    """Read a number of lines, such as "1080p"."""
    digits = found[1]
    return f"{year(int(digits)) if len(digits) > 3 else _pair(digits)} {found[2].upper()}"


_PLACES = re.compile(
    r"\b(?:no\.?|number|apt\.?|apartment|suite|room|unit|flat|gate|row|seat|building|section|step"
    r"|exit|#)\s?$",
    re.IGNORECASE,
)
_SIDES = {"N": "north", "S": "south", "E": "east", "W": "west"}
_RACE = re.compile(r"\s(?:run|race|walk|runner|marathon|swim|row)\b")
_SPACE = r"((?:[-‑]|[ \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}])?)"
_IN = rf"({SIGNED}(?:[ -]?{VULGAR}|[ -]\d{{1,2}}/\d{{1,2}})?|{VULGAR}|\d{{1,2}}/\d{{1,2}}){_SPACE}"

READERS: list[Reader] = [
    reader(
        r"(?<![\w.,])\d{1,4}\s?(?:d\s?\d{1,2}\s?h(?:\s?\d{1,2}\s?m)?(?:\s?\d{1,2}\s?s)?"
        r"|h\s?\d{1,2}\s?m(?:\s?\d{1,2}\s?s)?|m\s?\d{1,2}\s?s)(?!\w)",
        _duration,
        "d",
    ),
    reader(
        r"(?<![\w.])(\d{1,3}(?:\.\d{1,8})?)\s?°\s?(?:(\d{1,2}(?:\.\d{1,6})?)\s?['′’]"
        r"\s?(?:(\d{1,2}(?:\.\d{1,6})?)\s?(?:\"|″|”|''|′′)\s?)?)?([NSEW])?(?!\w)(?<![°\s])",
        _angle,
        "d",
    ),
    reader(r"(?<!\w)[NSEW](?=\s\d{1,3}(?:\.\d{1,8})?\s?°)", _side_ahead, "l"),
    reader(r"(?<![\w.])(\d{1,2})['′’]\s?(\d{1,2}(?:\.\d)?)(?:\"|″|”|'')", _feet, "d"),
    reader(
        r"(?<![\w.])(\d{1,3})\s?(?:ft|feet|foot)\.?\s(\d{1,2})\s?in(?:ch|ches)?\b\.?(?!\w)",
        _feet_and_inches,
        "d",
    ),
    reader(r"(?<![\w.])(\d{1,5})′()", _feet, "d"),
    reader(r"(?<![\w.])(\d{1,3})['’](?!\w)", _bare_feet, "d"),
    reader(
        rf"(?<![\w.,])({_EITHER})\s?({_ONE})?\s?(?:[-–—]|to)\s?({_EITHER}){_SPACE}{_UNIT}",
        _range,
        _EITHER_BEGINS,
    ),
    reader(
        rf"{_IN}(″|in\.(?=\s[a-z])|in(?!\w)|\"(?!\w(?<!x))|”(?!\w)|''(?!\w))",
        _inches,
        _EITHER_BEGINS,
    ),
    reader(rf"({_EITHER}){_SPACE}{_UNIT}(?:(?<=[a-z])\.(?=\s[a-z]))?", _measure, _EITHER_BEGINS),
    reader(rf"({SIGNED})([kKMB]|mn|bn)(?![\w.])", _scaled, SIGNED_BEGINS),
    reader(rf"({SIGNED})([kKMB])(?=\.(?:\s|$))", _scaled, SIGNED_BEGINS),
    reader(
        r"(?<![\w/.])(?:km/h|m/s|mmHg|km²|m²|m³|cm²|cm³|kWh|°C|°F)(?!\w)",
        lambda found: _names(*_bare(found[0]), single=False),
        "l°",
    ),
    reader(
        r"(?<=[a-z])/(min|sec|hr|hour|minute|second|day|week|month|year|person|user)(?!\w)",
        lambda found: f"per {_UNITS[found[1]][0] if found[1] in _UNITS else found[1]}",
        "/",
    ),
    reader(r"(?<![\w.,-])(\d{3,4})\s?[x×]\s?(\d{3,4})(?![\w.,]\d|[\w%]|\s?=)", _pixels, "d"),
    reader(r"(?<![\w.,-])(480|720|1080|1440|2160|4320)([pi])(?!\w)", _lines, "d"),
    reader(
        r"(?<![\w.,])(\d{1,5})[x×](?=\d{1,5}\s?(?:[kcm]?m|ft|in|k?g|ml)(?!\w))",
        lambda found: f"{amount(found[1])} by",
        "d",
    ),
    reader(r"[xX×✕](?=\s?\.?\d)", _by, "l×✕"),
]
