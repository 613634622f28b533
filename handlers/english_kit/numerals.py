"""Numbers as words, and the forms in which they are written.

The word lists are those of hibari's package, which has them from num2words; American English has
no "and" in them.
"""

import re
from decimal import Decimal

from hibari.g2p import numbers

LONGEST = 15  # digits that are read as one number; longer numbers are read digit by digit
THIN = "\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}"
MINUS = "-−‐‑‒"  # the characters that are typed as a minus sign

# Every form has a bounded length, so that no reader ever looks far ahead.
_FORMS = (
    rf"\d{{1,3}}(?:[{THIN}'’]\d{{3}}){{1,6}}(?:[.,]\d{{1,18}})?",  # 1 234 567,8 and 1'234'567
    r"\d{1,3}(?: \d{3}){2,6}(?:[.,]\d{1,18})?",  # plain spaces: two groups, or a round thousand
    r"\d{1,3} 000(?![.,]\d)",
    r"\d{1,3} \d{3},\d{1,2}",
    r"\d{1,3}(?:_\d{3}){1,6}",
    r"[1-9]\d{0,2}(?:,\d{3}){1,6}(?:\.\d{1,18})?",  # 1,234,567.8
    r"[1-9]\d?(?:,\d{2}){1,4},\d{3}(?:\.\d{1,18})?",  # lakhs: 1,00,000
    r"[1-9]\d{0,2}(?:\.\d{3}){1,6},\d{1,2}",  # 1.234,56
    r"[1-9]\d{0,2}(?:\.\d{3}){2,6}",  # 1.234.567
    # a decimal comma; [1,2] and (3,4) are lists
    r"(?<!\d,)(?<!\[)(?!(?<=\()[1-9]\d{0,2},\d{1,3}\))(?:\d{1,15},(?:\d{1,2}|\d{4,18})|0,\d{3})(?!,\d)",
    r"\d{1,18}\.\d{1,18}",
    r"(?<![\d\w.])\.\d{1,18}",
    r"(?<!\S),\d{1,2}",
    r"\d{1,40}",
)
# Most numbers are digits that nothing continues; they come first, and no other form is tried then.
NUMBER = (
    rf"(?=[\d.]|(?<!\S),\d)(?>\d{{1,40}}(?!\d|[.,]\d|['’ {THIN}_]\d{{3}})|"
    + "|".join(rf"(?:{form})(?!\d)" for form in _FORMS)
    + ")"
)
SIGN = rf"(?:(?<![\w)\]}}%°])[{MINUS}+±])"
SIGNED = rf"{SIGN}?{NUMBER}"
NUMBER_BEGINS = "d.,"
SIGNED_BEGINS = f"{NUMBER_BEGINS}{MINUS}+±"
_SIGNS = {"+": "plus ", "±": "plus or minus "} | dict.fromkeys(MINUS, "minus ")
_GROUPED = re.compile(r"[1-9]\d{0,2}(?:,\d{3})+")
_TENS = re.compile(r"y$")


def cardinal(number: int) -> str:
    """Return *number* in words: 1234 as "one thousand two hundred thirty-four"."""
    return str(numbers.cardinal(number)).replace(" and ", " ").replace(",", "")


def ordinal(number: int) -> str:
    """Return *number* as an ordinal: 21 as "twenty-first"."""
    return str(numbers.ordinal(number)).replace(" and ", " ").replace(",", "")


def year(number: int) -> str:
    """Return *number* as a year: 1905 as "nineteen oh five"."""
    said: str = numbers.year(number)
    return said.replace("oh-", "oh ").replace(" and ", " ").replace(",", "")


def spelled(digits: str) -> str:
    """Return each digit by itself."""
    return " ".join(numbers.ONES[int(digit)] for digit in digits)


def letters_and_digits(text: str) -> str:
    """Return each letter and each digit by itself."""
    return " ".join(spelled(each) if each.isdecimal() else each.upper() for each in text)


def whole(digits: str) -> str:
    """Return a whole number in words; digit by digit if it is too long or begins with zero."""
    if len(digits) > LONGEST or (len(digits) > 1 and digits[0] == "0"):
        return spelled(digits)
    return cardinal(int(digits))


def halves(written: str) -> tuple[str, str]:
    """Return the digits before and after the decimal sign of an unsigned NUMBER."""
    body = re.sub(rf"[{THIN} '’_]", "", written)
    comma, point = body.rfind(","), body.rfind(".")
    if comma >= 0 and point >= 0:
        sign = max(comma, point)
    elif comma >= 0:
        sign = -1 if body.count(",") > 1 or _GROUPED.fullmatch(body) else comma
    else:
        sign = point if body.count(".") == 1 else -1
    before, behind = (body, "") if sign < 0 else (body[:sign], body[sign + 1 :])
    return re.sub(r"[.,]", "", before), behind


def amount(written: str) -> str:
    """Return a SIGNED number in words: "-2,50" as "minus two point five zero"."""
    if written.isdecimal():
        return whole(written)
    sign = _SIGNS.get(written[0], "")
    before, behind = halves(written[1:] if sign else written)
    if not behind:
        return sign + whole(before)
    return f"{sign}{whole(before) + ' ' if before else ''}point {spelled(behind)}"


def is_one(written: str) -> bool:
    """Return whether the noun after *written* is in the singular."""
    before, behind = halves(written.lstrip(MINUS + "+±"))
    return before == "1" and not behind


def value(written: str) -> Decimal:
    """Return the value of a SIGNED number."""
    before, behind = halves(written.lstrip(MINUS + "+±"))
    return Decimal(f"{before or 0}.{behind or 0}")


def plural_of_tens(number: int) -> str:
    """Return a decade in words: 90 as "nineties", 1900 as "nineteen hundreds"."""
    said = year(number) if number > 99 else cardinal(number)
    return _TENS.sub("ies", said) if said.endswith("y") else f"{said}s"
