"""Days, months and years."""

import re

from english_kit.numerals import cardinal, ordinal, plural_of_tens, year
from english_kit.scanner import Reader, before, behind, kept_stop, reader

MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_SHORT = {month[:3]: month for month in MONTHS} | {"Sept": "September"}
APOSTROPHES = "'’"
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_SHORT_DAYS = {day[:3]: day for day in _DAYS} | {
    "Tues": "Tuesday",
    "Thur": "Thursday",
    "Thurs": "Thursday",
}
_CAPITALS = {each.upper(): said for each, said in (_SHORT | _SHORT_DAYS).items()}
# "Mar", "Jan", "Sun", "Sat", "Wed" and "Mon" are words and names as well.
_NO_WORDS = frozenset({"Feb", "Aug", "Sept", "Oct", "Nov", "Tue", "Tues", "Thu", "Thur", "Thurs"})
_MONTH = rf"(?:{'|'.join(MONTHS)}|(?:{'|'.join(sorted(_SHORT, key=len, reverse=True))})\b\.?)"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_TH = r"(?:st|nd|rd|th)?"
_DASH = r"\s?[-–—]\s?"
_WEEKDAY = rf"(?:{'|'.join(_DAYS)}|(?:{'|'.join(sorted(_SHORT_DAYS, key=len, reverse=True))})\b\.?)"
_ERA = r"(?:\s?(?:BCE?|CE|AD)\b|\s?B\.C\.(?:E\.)?|\s?A\.D\.)"


def month_name(written: str) -> str:
    """Return the full name of a month, given that or its abbreviation."""
    name = written.rstrip(".")
    return _SHORT.get(name, name)


def _day_name(written: str) -> str:
    name = written.rstrip(".")
    return _SHORT_DAYS.get(name, name)


def date(year_number: int | None, month: int, day: int) -> str | None:
    """Return month, day and year in words, or None if there is no such day."""
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    behind = f", {year(year_number)}" if year_number is not None else ""
    return f"{MONTHS[month - 1]} {ordinal(day)}{behind}"


def _iso(found: re.Match[str]) -> str | None:
    return date(int(found[1]), int(found[2]), int(found[3]))


def _named_month(found: re.Match[str]) -> str | None:
    """Read a date such as "4-Jan-2024" or "Jan-04-2024"."""
    day = int(found["day"])
    return date(_full_year(found["year"]), MONTHS.index(month_name(found["month"])) + 1, day)


def _full_year(written: str) -> int:
    number = int(written)
    if len(written) > 2:
        return number
    return number + (1900 if number > 30 else 2000)


def _numeric(found: re.Match[str]) -> str | None:
    """Read 3/4/2024 as Americans mean it, and 31/12/2024 as all others do."""
    first, second, last = int(found[1]), int(found[3]), _full_year(found[4])
    day_first = found[2] == "." or first > 12
    return date(last, second, first) if day_first else date(last, first, second)


def _month_day(found: re.Match[str]) -> str:
    month, first, last, of = found.groups()
    said = f"{month_name(month)} {ordinal(int(first))}"
    if last:
        said += f" to {ordinal(int(last))}"
    return said + (f", {year(_full_year(of.lstrip(APOSTROPHES)))}" if of else "")


def _day_month(found: re.Match[str]) -> str:
    article, first, last, month, of = found.groups()
    the = article or ("" if re.search(r"\b[Tt]he $", before(found)) else "the ")
    said = f"{the}{ordinal(int(first))}"
    if last:
        said += f" to the {ordinal(int(last))}"
    return f"{said} of {month_name(month)}" + (f" {year(int(of))}" if of else kept_stop(found))


def _month_year(found: re.Match[str]) -> str:
    return f"{month_name(found[1])} {year(int(found[2]))}"


def _short_name(found: re.Match[str]) -> str | None:
    """Read "Jan.", "Sun" and the like, but only where a month or a day is to be expected."""
    name = found[1]
    stop = found[2]
    said = _SHORT.get(name) or _SHORT_DAYS[name]
    after = behind(found)
    ends = bool(stop) and not after.strip()
    dated = re.match(rf",?\s?(?:{_MONTH}\s?)?(?:the\s)?\d|,\s?{_MONTH}", after)
    ranged = re.match(rf"(?:{_DASH}|\s?(?:to|and|or|&|through|,)\s){_WEEKDAY}(?!\w)", after)
    behind_one = re.search(
        rf"\b{_WEEKDAY}(?:{_DASH}|,?\s(?:to|and|or|&|through)\s|,\s)$", before(found)
    )
    goes_on = bool(stop) and re.match(r",|;|\)|\s[a-z(]", after)
    if name in _NO_WORDS or dated or ranged or behind_one or goes_on:
        return said + ("." if ends or (re.match(r"\s[A-Z]", after) and stop and not dated) else "")
    return None


def _capital_name(found: re.Match[str]) -> str:
    return _CAPITALS[found[1]]


def _decade(found: re.Match[str]) -> str:
    """Read a decade, such as "the 1990s" or "'90s"."""
    return plural_of_tens(int(found[1]))


def _tens(found: re.Match[str]) -> str | None:
    """Read the twenties of "her 20s"; elsewhere 20s are seconds."""
    ahead = re.search(
        r"\b(?:the|his|her|their|my|our|your|in|mid|early|late)[\s-]$", before(found), re.IGNORECASE
    )
    after = re.match(
        r"\s(?:music|songs|style|fashion|rock|pop|movies|hits|kids?|vibes)", behind(found)
    )
    return plural_of_tens(int(found[1])) if ahead or after else None


def _is_month(of: str, month: str) -> bool:
    """Return whether it is a month: 2023-12 is one, 2011-12 are two years."""
    return 1 <= int(month) <= 12 and int(month) <= int(of) % 100


def _month_of(found: re.Match[str]) -> str:
    """Read a month and its year, such as "5/2023"."""
    return f"{MONTHS[int(found[1]) - 1]} {year(int(found[2]))}"


def _two_years(found: re.Match[str]) -> str:
    """Read two years in full, such as "1999/2000"."""
    return f"{year(int(found[1]))} to {year(int(found[2]))}"


def _next_year(found: re.Match[str]) -> str | None:
    """Read a year and the next, such as "2023/24"."""
    first, last = int(found[1]), int(found[2])
    return f"{year(first)} to {cardinal(last)}" if last == (first + 1) % 100 else None


def _years(found: re.Match[str]) -> str:
    """Read a range of years, such as "1914–1918" or "2020-21"."""
    first, last = found.groups()
    said = year(int(last)) if len(last) == 4 else cardinal(int(last))
    if found[2] == last and len(last) == 2 and "-" in found[0] and _is_month(first, last):
        return f"{MONTHS[int(last) - 1]} {year(int(first))}"
    return f"{year(int(first))} to {said}"


def _era(found: re.Match[str]) -> str:
    letters = " ".join(re.sub(r"[\s.]", "", found[2]))
    number = int(found[1])
    return f"{year(number) if number > 999 else cardinal(number)} {letters}"


_YEAR = r"(?:1[0-9]|20)\d{2}"
_NAMES = "|".join(sorted(_SHORT | _SHORT_DAYS, key=len, reverse=True))


def _names_range(found: re.Match[str]) -> str:
    """Read a range of days or months, such as "Mon–Fri" or "Jan–Mar"."""
    first, last = found.groups()
    return f"{month_name(_day_name(first))} to {month_name(_day_name(last))}{kept_stop(found)}"


def _dated_range(found: re.Match[str]) -> str:  # noqa: ARG001
    """Read a range of dates, such as "July 4 – July 8"."""
    return "to"


READERS: list[Reader] = [
    reader(rf"({_WEEKDAY}){_DASH}({_WEEKDAY})(?!\w)", _names_range, "l"),
    reader(rf"({_MONTH}){_DASH}({_MONTH})(?!\w)(?!\s\d{{1,2}}\b)", _names_range, "l"),
    reader(rf"(?:(?<=[\dhdt] )|(?<=[\dhdt]))[-–—](?=\s?{_MONTH}\s\d)", _dated_range, "-–—"),
    reader(r"(?<![\w.-])([12]\d{3})-(\d{2})-(\d{2})(?![\w-])", _iso, "d"),
    reader(r"(?<![\w.-])([12]\d{3})/(\d{2})/(\d{2})(?![\w/-])", _iso, "d"),
    reader(r"(?<![\w.-])((?:19|20)\d\d)\.(\d{2})\.(\d{2})(?![\w-]|\.\d)", _iso, "d"),
    reader(
        rf"(?<![\w.-])(?P<day>{_DAY})-(?P<month>{_MONTH})-(?P<year>[12]\d{{3}}|\d\d)(?![\w-])",
        _named_month,
        "d",
    ),
    reader(
        rf"(?<![\w.-])(?P<month>{_MONTH})-(?P<day>{_DAY})-(?P<year>[12]\d{{3}})(?![\w-])",
        _named_month,
        "l",
    ),
    reader(
        r"(?<![\w./])(\d{1,2})(?P<parted>[/.])(\d{1,2})(?P=parted)([12]\d{3}|\d{2})(?![\w/]|\.\d)",
        _numeric,
        "d",
    ),
    reader(
        rf"({_MONTH})\s({_DAY}){_TH}(?:{_DASH}({_DAY}){_TH})?(?![\w:%/]|[.,]\d(?!\d{{3}}))"
        rf"(?:,?\s?({_YEAR}|['’]\d\d)(?![\w-]))?",
        _month_day,
        "l",
    ),
    reader(
        rf"(?<![\w.,:/-])([Tt]he )?({_DAY}){_TH}(?:{_DASH}({_DAY}){_TH})?"
        rf"(?:\sof)?\s({_MONTH})(?!\w)(?:,?\s({_YEAR})(?![\w-]))?",
        _day_month,
        "dl",
    ),
    reader(rf"({_MONTH}),?\s({_YEAR})(?![\w-])", _month_year, "l"),
    reader(rf"(?<![\w'’])({_NAMES})(\.?)(?![\w'’])", _short_name, "l"),
    reader(rf"(?<![\w'’])({'|'.join(_CAPITALS)})\b\.?(?=,?\s\d)", _capital_name, "l"),
    reader(
        r"(?<![\w.-])(\d{1,2})(-)(\d{1,2})-([12]\d{3})(?![\w-])",
        _numeric,
        "d",
    ),
    reader(r"(?<![\w./])(0?[1-9]|1[0-2])/((?:19|20)\d\d)(?![\w/])", _month_of, "d"),
    reader(r"(?<![\w./])((?:19|20)\d\d)/((?:19|20)\d\d)(?![\w/])", _two_years, "d"),
    reader(r"(?<![\w./])((?:19|20)\d\d)/(\d\d)(?![\w/])", _next_year, "d"),
    reader(r"(?<![\w.,])([12]\d\d0)['’]?s(?!\w)", _decade, "d"),
    reader(r"(?:(?<=[Tt]he )|(?<=early )|(?<=late ))['’]?00['’]?s(?!\w)", "two thousands", "d'’"),
    reader(
        r"(?<=\ds)\s?[-–—](?=\s?['’]?\d{2,4}s\b)|(?<=\ds )[-–—](?=\s?['’]?\d{2,4}s\b)", "to", "-–—"
    ),
    reader(r"(?<!\w)['’]([2-9]0)['’]?s(?!\w)", _decade, "'’"),
    reader(r"(?<![\w.,])([2-9]0)s(?!\w)", _tens, "d"),
    reader(
        rf"(?<![\w.,$€£-])({_YEAR})\s?[-–—]\s?((?:1\d|20)\d\d|\d\d)(?![\w-]|[.,]\d|\s?=)",
        _years,
        "d",
    ),
    reader(rf"(?<![\w.,])(\d{{1,4}})({_ERA})(?!\w)", _era, "d"),
]
