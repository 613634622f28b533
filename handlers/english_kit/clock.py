"""Times of day, and how long something takes."""

import re

from english_kit.dates import date
from english_kit.numerals import cardinal
from english_kit.scanner import Reader, before, behind, kept_stop, reader

_HALF = r"(?:\s?([AaPp])(?:\.\s?[Mm]\.?|[Mm]\b\.?))"
_ZONES = "UTC|GMT|EST|EDT|CST|CDT|MST|MDT|PST|PDT|CET|CEST|BST|IST|JST|ET|PT|CT|MT"


def time(hour: int, minute: int, second: int | None = None, half: str | None = None) -> str:
    """14:30 as "fourteen thirty"; *half* is the A or P of a half day."""
    if minute == 0 and second is None:
        words = _full_hour(hour, half)
    else:
        words = cardinal(hour) + _minutes(minute, second)
    if second is not None:
        words += f" and {cardinal(second)} second{'' if second == 1 else 's'}"
    return f"{words} {half.upper()} M" if half else words


def _full_hour(hour: int, half: str | None) -> str:
    if half:
        return cardinal(hour)
    if hour == 0:
        return "midnight"
    return f"{cardinal(hour)} o'clock" if hour <= 12 else f"{cardinal(hour)} hundred"


def _minutes(minute: int, second: int | None) -> str:
    if minute == 0:
        return " hundred" if second is None else ""
    return f" oh {cardinal(minute)}" if minute < 10 else f" {cardinal(minute)}"


def _stop(found: re.Match[str]) -> str:
    """The full stop of "p.m." ends no sentence before a time zone."""
    zone = re.match(rf"\s(?:{_ZONES})\b", behind(found, 5))
    return "" if zone else kept_stop(found)


def _time(found: re.Match[str]) -> str | None:
    hour, minute, second, half = found.groups()
    if int(hour) > 24 or int(minute) > 59 or (second and int(second) > 59):
        return None
    said = time(int(hour), int(minute), int(second) if second else None, half)
    return said + (_stop(found) if half else "")


def _hour(found: re.Match[str]) -> str:
    return f"{cardinal(int(found[1]))} {found[2].upper()} M{_stop(found)}"


def _span(found: re.Match[str]) -> str | None:
    """9-5pm, 9:30–11."""
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
    """9am-5pm."""
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
    """14h30."""
    hour, minute = int(found[1]), int(found[2])
    return time(hour, minute) if hour <= 24 and minute <= 59 else None


def _stamp(found: re.Match[str]) -> str | None:
    """2024-03-04T14:30:00Z; fractions of a second and offsets are said too."""
    day = date(int(found[1]), int(found[2]), int(found[3]))
    hour, minute, second = int(found[4]), int(found[5]), int(found[6] or 0)
    if day is None or hour > 24 or minute > 59 or second > 59:
        return None
    said = f"{day} at {time(hour, minute, second or None)}"
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
    """Behind a time."""
    ahead = re.search(r"\d(?:\s?[AaPp]\.?[Mm]\.?)?\s$", before(found, 8))
    return " ".join(found[0]) if ahead else None


def _ratio(found: re.Match[str]) -> str:
    return " to ".join(cardinal(int(each)) for each in found[0].split(":"))


READERS: list[Reader] = [
    reader(
        r"(?<![\w.-])([12]\d{3})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:\.\d{1,9})?)?"
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
    reader(
        rf"(?<![\w:.])(\d{{1,2}}):(\d\d)(?::(\d\d)(?:\.\d{{1,9}})?)?(?![\d:])"
        rf"(?:{_HALF}|\s?[hH](?!\w))?(?!\w)",
        _time,
        "d",
    ),
    reader(rf"(?<![\w:.])(\d{{1,2}})\.(\d\d)(){_HALF}", _time, "d"),
    reader(rf"(?<![\w:.,])(\d{{1,2}}){_HALF}(?!\w)", _hour, "d"),
    reader(r"(?<![\w:.])(\d\d):?(\d\d)\s?(?:hours|hrs)(?!\w)", _military, "d"),
    reader(r"(?<![\w:.])(\d{1,2})h(\d\d)(?!\w)", _french, "d"),
    reader(r"(?<![\w:.])\d{1,4}(?::\d{1,4}){1,3}(?![\w:]|\.\d)", _ratio, "d"),
    reader(r"[-–—](?=\s?(?:noon|midnight|present|now|today)\b)", "to", "-–—"),
    reader(rf"(?<=[\dmM.] )(?:{_ZONES})(?!\w)", _zone, "l"),
]
