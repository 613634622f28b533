"""Amounts of money."""

import re
from typing import NamedTuple

from english_kit.numerals import (
    MINUS,
    NUMBER,
    NUMBER_BEGINS,
    SIGN,
    SIGNED_BEGINS,
    amount,
    halves,
    whole,
)
from english_kit.quantities import is_attributed
from english_kit.scanner import Reader, reader


class Currency(NamedTuple):
    """The names of a currency: one and several of its unit, and of the hundredth part."""

    one: str
    many: str
    part: str = ""
    parts: str = ""


_CENT = ("cent", "cents")
_DOLLAR = Currency("dollar", "dollars", *_CENT)
_EURO = Currency("euro", "euros", *_CENT)
_POUND = Currency("pound", "pounds", "penny", "pence")
_YEN = Currency("yen", "yen")
_YUAN = Currency("yuan", "yuan")
_RUPEE = Currency("rupee", "rupees", "paisa", "paise")
_WON = Currency("won", "won")
_FRANC = Currency("Swiss franc", "Swiss francs", "centime", "centimes")


def _dollars(whose: str) -> Currency:
    return Currency(f"{whose} dollar", f"{whose} dollars", *_CENT)


_SYMBOLS = {
    "$": _DOLLAR,
    "US$": Currency("U S dollar", "U S dollars", *_CENT),
    "C$": _dollars("Canadian"),
    "CA$": _dollars("Canadian"),
    "A$": _dollars("Australian"),
    "AU$": _dollars("Australian"),
    "NZ$": _dollars("New Zealand"),
    "HK$": _dollars("Hong Kong"),
    "S$": _dollars("Singapore"),
    "MX$": Currency("Mexican peso", "Mexican pesos", "centavo", "centavos"),
    "R$": Currency("real", "reais", "centavo", "centavos"),
    "€": _EURO,
    "£": _POUND,
    "¥": _YEN,
    "￥": _YEN,
    "₹": _RUPEE,
    "₩": _WON,
    "₽": Currency("ruble", "rubles", "kopeck", "kopecks"),
    "₪": Currency("shekel", "shekels", "agora", "agorot"),
    "₺": Currency("lira", "lira", "kurush", "kurush"),
    "₴": Currency("hryvnia", "hryvnias", "kopiyka", "kopiykas"),
    "₫": Currency("dong", "dong"),
    "₱": Currency("peso", "pesos", "centavo", "centavos"),
    "฿": Currency("baht", "baht", "satang", "satang"),
    "₦": Currency("naira", "naira", "kobo", "kobo"),
    "₿": Currency("bitcoin", "bitcoins"),
    "kr": Currency("krone", "kroner", "ore", "ore"),
    "円": _YEN,
    "元": _YUAN,
    "Rs": _RUPEE,
    "Rs.": _RUPEE,
    "Fr.": _FRANC,
    "zł": Currency("zloty", "zlotys", "grosz", "groszy"),
}
_CODES = {
    "USD": Currency("U S dollar", "U S dollars", *_CENT),
    "EUR": _EURO,
    "GBP": _POUND,
    "JPY": _YEN,
    "CHF": _FRANC,
    "SFr": _FRANC,
    "CAD": _dollars("Canadian"),
    "AUD": _dollars("Australian"),
    "NZD": _dollars("New Zealand"),
    "HKD": _dollars("Hong Kong"),
    "SGD": _dollars("Singapore"),
    "CNY": _YUAN,
    "RMB": _YUAN,
    "INR": _RUPEE,
    "KRW": _WON,
    "SEK": Currency("Swedish krona", "Swedish kronor"),
    "NOK": Currency("Norwegian krone", "Norwegian kroner"),
    "DKK": Currency("Danish krone", "Danish kroner"),
    "PLN": _SYMBOLS["zł"],
    "CZK": Currency("Czech koruna", "Czech korunas"),
    "HUF": Currency("forint", "forints"),
    "RUB": _SYMBOLS["₽"],
    "UAH": _SYMBOLS["₴"],
    "BRL": _SYMBOLS["R$"],
    "MXN": _SYMBOLS["MX$"],
    "ZAR": Currency("rand", "rand", *_CENT),
    "TRY": _SYMBOLS["₺"],
    "ILS": _SYMBOLS["₪"],
    "THB": _SYMBOLS["฿"],
    "BTC": _SYMBOLS["₿"],
}
_NAMES = _SYMBOLS | _CODES
_SCALES = {
    "k": "thousand",
    "m": "million",
    "mm": "million",
    "mn": "million",
    "mio": "million",
    "b": "billion",
    "bn": "billion",
    "t": "trillion",
    "tn": "trillion",
}
_SCALE = (
    r"(?:\s?(hundred|thousand|million|billion|trillion|lakh|crore|[kKmMbBtT]n?|MM|[mM]io)(?![\w]))?"
)
_PER = "month|mo|year|yr|hour|hr|h|day|week|wk|night|minute|min|second|person|user|head|piece"
_PER_WORDS = {
    "mo": "month",
    "yr": "year",
    "hr": "hour",
    "h": "hour",
    "wk": "week",
    "min": "minute",
    "kg": "kilogram",
    "lb": "pound",
    "L": "liter",
    "l": "liter",
    "gal": "gallon",
}
_RATE = rf"(?:\s?/\s?({_PER}|mile|gallon|gal|liter|L|l|kg|lb|share|unit|seat|token|GB)(?!\w))?"
_SYMBOL = "|".join(re.escape(each) for each in sorted(_SYMBOLS, key=len, reverse=True))
_CODE = "|".join(_CODES)
_SYMBOL_BEGINS = "l" + "".join({each[0] for each in _SYMBOLS if not each[0].isalpha()})
_DASHES = r"(?:[.,](?:[-–—]{1,2}|--))?"  # CHF 5.–


# Where these are spent a point parts thousands: 10.000 €.
_POINTED = (_EURO, _FRANC, _SYMBOLS["kr"], _SYMBOLS["zł"], _SYMBOLS["R$"], _SYMBOLS["₺"])


def said(number: str, name: str, scale: str | None = None) -> str:
    """Return *number*, unsigned, of the currency that is written as *name*, in words."""
    currency = _NAMES[name]
    if scale:
        return f"{amount(number)} {_SCALES.get(scale.lower(), scale)} {currency.many}"
    units, parts = halves(number)
    if len(parts) == 3 and "." in number and 0 < len(units) < 4 and currency in _POINTED:
        units, parts = units + parts, ""
    units = units or "0"
    if parts and (len(parts) != 2 or not currency.part):
        return f"{amount(number)} {currency.many}"
    named = f"{whole(units)} {currency.one if units == '1' else currency.many}"
    if not parts or parts == "00":
        return named
    few = int(parts)
    coins = f"{whole(str(few))} {currency.part if few == 1 else currency.parts}"
    return coins if int(units) == 0 else f"{named} and {coins}"


def _minus(sign: str | None) -> str:
    return {"+": "plus ", "±": "plus or minus "}.get(sign, "minus ") if sign else ""


def _per(unit: str | None) -> str:
    return f" per {_PER_WORDS.get(unit, unit)}" if unit else ""


def _ahead(found: re.Match[str]) -> str | None:
    """Read an amount after its sign, such as "-$5", "US$1.5M", "CHF 12.50" or "$5/month"."""
    outer, name, inner, number, scale, code, per = found.groups()
    if code and _NAMES[name].one in _NAMES[code].one:
        name = code  # $5 USD
    elif code:
        return None
    if is_attributed(found) and not per and (scale or "." not in number):
        scaled = f" {_SCALES.get(scale.lower(), scale)}" if scale else ""
        return f"{_minus(outer or inner)}{amount(number)}{scaled} {_NAMES[name].one}"
    return _minus(outer or inner) + said(number, name, scale) + _per(per)


def _behind(found: re.Match[str]) -> str:
    """Read an amount before its currency, such as "27,50 €" or "-5 USD"."""
    sign, number, scale, name, per = found.groups()
    return _minus(sign) + said(number, name, scale) + _per(per)


def _range(found: re.Match[str]) -> str:
    """Read a range of amounts, such as "$10-20", "$3–5 million" or "€10–€20"."""
    name, first, first_scale, last, scale, per = found.groups()
    begins = amount(first)
    if first_scale and first_scale.lower() != (scale or "").lower():
        begins = said(first, name, first_scale)
    return f"{begins} to {said(last, name, scale)}{_per(per)}"


def _range_behind(found: re.Match[str]) -> str:
    first, last, scale, name, per = found.groups()
    return f"{amount(first)} to {said(last, name, scale)}{_per(per)}"


def _accounted(found: re.Match[str]) -> str:
    """Read a loss as accountants write it, such as "($5.00)"."""
    return f"minus {said(found[2], found[1])}"


def _coins(found: re.Match[str]) -> str:
    number, sign = found[1], found[2]
    names = {"¢": ("cent", "cents"), "p": ("penny", "pence")}[sign]
    return f"{amount(number)} {names[0] if number == '1' else names[1]}"


READERS: list[Reader] = [
    reader(rf"\(({_SYMBOL})\s?({NUMBER})\)(?=\s|$|[.,;])", _accounted, "("),
    reader(
        rf"(?<![\w$€£¥])(?P<money>{_SYMBOL}|(?:{_CODE})(?=\s?\d))\s?({NUMBER}){_SCALE}\s?[-–—]\s?"
        rf"(?:(?P=money)\s?)?({NUMBER})(?!\d){_SCALE}{_RATE}(?![\w])",
        _range,
        _SYMBOL_BEGINS,
    ),
    reader(
        rf"({SIGN})?(?<![^\W\d_])(?<!\$)({_SYMBOL}|(?:{_CODE})(?=[{MINUS}\s]?[{MINUS}\d$€£¥]))(?:(?<=[A-Z])\s?[$€£¥])?"
        rf"\s?([{MINUS}])?({NUMBER}){_DASHES}{_SCALE}(?:\s({_CODE})(?!\w))?{_RATE}",
        _ahead,
        f"{_SYMBOL_BEGINS}{MINUS}+±",
    ),
    reader(
        rf"(?<![\w.,])({NUMBER})\s?[-–—]\s?({NUMBER}){_SCALE}\s?"
        rf"({_SYMBOL}|{_CODE})(?![\w]){_RATE}",
        _range_behind,
        NUMBER_BEGINS,
    ),
    reader(
        rf"({SIGN})?({NUMBER}){_DASHES}{_SCALE}\s?((?:{_SYMBOL})(?!\s?\d)|(?:{_CODE}))(?![\w])"
        rf"{_RATE}",
        _behind,
        SIGNED_BEGINS,
    ),
    reader(rf"(?<![\w.,])({NUMBER})\s?(¢)(?!\w)", _coins, "d"),
    reader(r"(?<![\w.,])(\d{1,2})(p)(?!\w)", _coins, "d"),
    reader(rf"(¢)\s?({NUMBER})", lambda found: f"{amount(found[2])} cents", "¢"),
    reader(
        rf"(?<![\w])(dollars?|cents?|euros?|pounds?|pence|yen)\s?/\s?({_PER})(?!\w)",
        lambda found: f"{found[1]}{_per(found[2])}",
        "l",
    ),
]
