"""Times of day, and how long something takes."""

import re

from english_kit.dates import date
from english_kit.numerals import cardinal, spelled
from english_kit.scanner import Reader, before, behind, kept_stop, reader

_HALF = r"(?:\s?([AaPp])(?:\.\s?[Mm]\.?|[Mm]\b\.?))"
_ZONES = "UTC|GMT|EST|EDT|CST|CDT|MST|MDT|PST|PDT|CET|CEST|BST|IST|JST|ET|PT|CT|MT"


def time(hour: int, minute: int, second: str | None = None, half: str | None = None) -> str:
    """Return a time in words: 14:30 as "fourteen thirty"; *half* is the A or P of a half day.

    *second* is as it is written, perhaps with a fraction.
    """
    if minute == 0 and second is None:
        words = _full_hour(hour, half)
    else:
        words = cardinal(hour) + _minutes(minute, has_seconds=second is not None)
    if second is not None:
        words += f" and {_seconds(second)} second{'' if second.lstrip('0') == '1' else 's'}"
    return f"{words} {half.upper()} M" if half else words


def _seconds(written: str) -> str:
    whole, _, fraction = written.partition(".")
    return cardinal(int(whole)) + (f" point {spelled(fraction)}" if fraction else "")


def _full_hour(hour: int, half: str | None) -> str:
    if half:
        return cardinal(hour)
    if hour == 0:
        return "midnight"
    return f"{cardinal(hour)} o'clock" if hour <= 12 else f"{cardinal(hour)} hundred"


def _minutes(minute: int, *, has_seconds: bool) -> str:
    if minute == 0:
        return "" if has_seconds else " hundred"
    return f" oh {cardinal(minute)}" if minute < 10 else f" {cardinal(minute)}"


def _stop(found: re.Match[str]) -> str:
    """Return the full stop of "p.m." where it may end a sentence: not before a time zone."""
    zone = re.match(rf"\s(?:{_ZONES})\b", behind(found, 5))
    return "" if zone else kept_stop(found)


def _time(found: re.Match[str]) -> str | None:
    hour, minute, second, half = found.groups()
    if int(hour) > 24 or int(minute) > 59 or (second and float(second) >= 60):
        return None
    said = time(int(hour), int(minute), second or None, half)
    return said + (_stop(found) if half else "")


def _hour(found: re.Match[str]) -> str:
    return f"{cardinal(int(found[1]))} {found[2].upper()} M{_stop(found)}"


def _span(found: re.Match[str]) -> str | None:
    """Read a span of time, such as "9-5pm" or "9:30–11"."""
    first, first_minute, last, last_minute, half = found.groups()
    if max(int(first), int(last)) > 24 or (half is None and not (first_minute or last_minute)):
        return None
    if max(int(first_minute or 0), int(last_minute or 0)) > 59:
        return None
    began = time(int(first), int(first_minute)) if first_minute else cardinal(int(first))
    ends = (
        time(int(last), int(last_minute or 0), None, half)
        if last_minute or half
        else (cardinal(int(last)))
    )
    return f"{began} to {ends}" + (_stop(found) if half else "")


def _half_days(found: re.Match[str]) -> str | None:
    """Read a span between two half days, such as "9am-5pm"."""
    first, first_minute, first_half, last, last_minute, last_half = found.groups()
    if max(int(first), int(last)) > 12:
        return None
    begins = time(int(first), int(first_minute or 0), None, first_half)
    return f"{begins} to {time(int(last), int(last_minute or 0), None, last_half)}{_stop(found)}"


def _military(found: re.Match[str]) -> str | None:
    hour, minute = int(found[1]), int(found[2])
    if hour > 23 or minute > 59:
        return None
    ahead = f"zero {cardinal(hour)}" if hour < 10 else cardinal(hour)
    return f"{ahead} {cardinal(minute) if minute else 'hundred'} hours"


def _french(found: re.Match[str]) -> str | None:
    """Read a time as the French write it, such as "14h30"."""
    hour, minute = int(found[1]), int(found[2])
    return time(hour, minute) if hour <= 24 and minute <= 59 else None


def _stamp(found: re.Match[str]) -> str | None:
    """Read a time stamp such as "2024-03-04T14:30:00Z", with its fraction and offset."""
    day = date(int(found[1]), int(found[2]), int(found[3]))
    hour, minute, second = int(found[4]), int(found[5]), found[6] or "0"
    if day is None or hour > 24 or minute > 59 or float(second) >= 60:
        return None
    said = f"{day} at {time(hour, minute, second if float(second) else None)}"
    zone = found[7]
    if zone == "Z":
        return f"{said} U T C"
    if zone:
        sign = "plus" if zone[0] == "+" else "minus"
        minutes = int(zone[-2:])
        offset = cardinal(int(zone[1:3])) + (f" {cardinal(minutes)}" if minutes else "")
        return f"{said} U T C {sign} {offset}"
    return said


def _zone(found: re.Match[str]) -> str | None:
    """Read a time zone or offset after a time."""
    ahead = re.search(r"\d(?:\s?[AaPp]\.?[Mm]\.?)?\s$", before(found, 8))
    return " ".join(found[0]) if ahead else None


def _ratio(found: re.Match[str]) -> str:
    between = " divided by " if re.match(r"\s?=", behind(found, 2)) else " to "
    return between.join(cardinal(int(each)) for each in found[0].split(":"))


def _elapsed(found: re.Match[str]) -> str | None:
    """Read the time of a race, such as "2:03.5"."""
    if int(found[2]) > 59:
        return None
    minutes = _minutes(int(found[2]), has_seconds=True)
    return f"{cardinal(int(found[1]))}{minutes} point {spelled(found[3])}"


def _verse(found: re.Match[str]) -> str:
    """Read a verse, such as "John 3:16" or "Gen. 1:1-3"."""
    number, book, chapter, first, last = found.groups()
    ahead = f"{_NUMBERED_BOOK[number]} " if number else ""
    said = f"{ahead}{_BOOKS.get(book, book)} {cardinal(int(chapter))} {cardinal(int(first))}"
    return said + (f" to {cardinal(int(last))}" if last else "")


_BOOKS = {
    "Gen": "Genesis",
    "Ex": "Exodus",
    "Exod": "Exodus",
    "Lev": "Leviticus",
    "Num": "Numbers",
    "Deut": "Deuteronomy",
    "Josh": "Joshua",
    "Sam": "Samuel",
    "Ps": "Psalm",
    "Prov": "Proverbs",
    "Eccl": "Ecclesiastes",
    "Isa": "Isaiah",
    "Jer": "Jeremiah",
    "Ezek": "Ezekiel",
    "Dan": "Daniel",
    "Matt": "Matthew",
    "Mt": "Matthew",
    "Mk": "Mark",
    "Lk": "Luke",
    "Jn": "John",
    "Rom": "Romans",
    "Cor": "Corinthians",
    "Gal": "Galatians",
    "Eph": "Ephesians",
    "Phil": "Philippians",
    "Col": "Colossians",
    "Thess": "Thessalonians",
    "Tim": "Timothy",
    "Heb": "Hebrews",
    "Jas": "James",
    "Pet": "Peter",
    "Rev": "Revelation",
}
_WHOLE_BOOKS = (
    "Judges|Ruth|Kings|Chronicles|Ezra|Nehemiah|Esther|Job|Psalms|Lamentations|Hosea|Joel|Amos"
    "|Obadiah|Jonah|Micah|Nahum|Habakkuk|Zephaniah|Haggai|Zechariah|Malachi|Luke|John|Acts|Titus"
    "|Philemon|Jude"
)
_NUMBERED_BOOK = {"1": "First", "2": "Second", "3": "Third"}
_BOOK = "|".join([*(f"{short}|{book}" for short, book in _BOOKS.items()), _WHOLE_BOOKS])

READERS: list[Reader] = [
    reader(
        rf"(?<!\w)(?:([123]) )?({_BOOK})\.? (\d{{1,3}}):(\d{{1,3}})(?:[-–](\d{{1,3}}))?(?![\d:])",
        _verse,
        "ld",
    ),
    reader(
        r"(?<![\w.-])([12]\d{3})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d(?:\.\d{1,9})?))?"
        r"\s?(Z|[+-]\d\d:?\d\d)?(?![\w:])",
        _stamp,
        "d",
    ),
    reader(
        rf"(?<![\w.:$€£-])(\d{{1,2}})(?::(\d\d))?{_HALF}\s?[-–—]\s?(\d{{1,2}})(?::(\d\d))?{_HALF}"
        r"(?!\w)",
        _half_days,
        "d",
    ),
    reader(
        r"(?<![\w.:$€£-])(\d{1,2})(?::(\d\d))?\s?[-–—]\s?(\d{1,2})(?::(\d\d))?"
        rf"(?![\d:]|[.,]\d){_HALF}?(?!\w)",
        _span,
        "d",
    ),
    reader(r"(?<![\w:.])(\d\d):(\d\d)\s?(?:hours|hrs)(?!\w)", _military, "d"),
    reader(r"(?<![\w:.])(\d{1,2}):(\d\d)\.(\d{1,3})(?![\w:])", _elapsed, "d"),
    reader(
        rf"(?<![\w:.])(\d{{1,2}}):(\d\d)(?::(\d\d(?:\.\d{{1,9}})?))?(?![\d:])"
        rf"(?:{_HALF}|\s?[hH](?!\w))?(?!\w(?<!Z))",
        _time,
        "d",
    ),
    reader(rf"(?<![\w:.])(\d{{1,2}})\.(\d\d)(){_HALF}", _time, "d"),
    reader(
        r"(?<=\b[aA]t )(\d{1,2})\.([0-5]\d)()()"
        r"(?=[,;!?)]|\.?$|\.\s|\s(?:on|sharp|today|tomorrow|tonight|every|this|and we|in the)\b)",
        _time,
        "d",
    ),
    reader(rf"(?<![\w:.,])(\d{{1,2}}){_HALF}(?!\w)", _hour, "d"),
    reader(
        r"(?<![\w:.])(\d\d)(\d\d)\s?(?:hours|hrs)(?!\w|\s(?:of|ago|per|an?|later|each|every)\b)",
        _military,
        "d",
    ),
    reader(r"(?<![\w:.])(\d{1,2})h(\d\d)(?!\w)", _french, "d"),
    reader(r"(?<![\w:.])\d{1,4}(?::\d{1,4}){1,3}(?![\w:]|\.\d)", _ratio, "d"),
    reader(r"[-–—](?=\s?(?:noon|midnight|present|now|today)\b)", "to", "-–—"),
    reader(rf"(?<=[\dmM.] )(?:{_ZONES})(?!\w)", _zone, "l"),
    reader(r"(?<=:\d\d)Z(?!\w)", "U T C", "l"),
]
