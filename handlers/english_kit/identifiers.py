"""Numbers that are not quantities and are read digit by digit, such as telephone numbers."""

import re

from english_kit.addresses import said
from english_kit.dates import MONTHS
from english_kit.numerals import cardinal, letters_and_digits, spelled, whole, year
from english_kit.scanner import Reader, before, reader

_SEPARATOR = r"[-–‑. /\N{NO-BREAK SPACE}]"
_LABELS = (
    "zip|zip code|postal code|postcode|post code|pin|code|passcode|password|account|acct|order"
    "|invoice|ticket|tracking|serial|confirmation|reference|ref|case|id|passport|extension|ext"
    "|routing|isbn|ssn|social security|phone|telephone|tel|fax|mobile|cell|call|dial|text|flight"
    "|badge|license|licence|vin|otp|booking|ending in|ends in|ending with|ending|policy|member"
    "|customer|cvv|cvc|cvv2|itin|ein|issn|imei|upc|sku|pmid|vat|tax|area code|dial code"
)
_LABELLED = re.compile(
    rf"(?<!\w)(?:{_LABELS})s?\.?"
    r"(?:\s(?:number|num|no|code|id|is not|is|was|will be|ends in|ending in))*"
    r"\.?(?:\s?[:#=])?\s?#?\s?$",
    re.IGNORECASE,
)
_ROOMS = re.compile(
    r"\b(?:room|rm\.|suite|apartment|flight|bus|route|rte\.|highway|hwy\.|interstate|error|http|US-)\s?$",
    re.IGNORECASE,
)
_ALPHABET_KEYS = re.compile(r"[A-Z]{2,}|\d+")
_SOFTWARE = (
    "version|versions|ver|v|release|python|java|node|ios|android|macos|ubuntu|debian|fedora"
    "|windows|php|ruby|go|rust|cuda|pytorch|tensorflow|kernel|django|postgres|postgresql|mysql"
    "|http|tls|ssl|usb|bluetooth|html|css|gpt|claude|llama|gemini"
)
_STAGE = (
    r"(?:[-+.]?(?:(rc|alpha|beta|a|b|post|dev|pre|preview|build|snapshot|final|lts)"
    r"(?:[-.]?(\d{1,6}))?))?"
)
_STAGES = {"rc": "R C", "a": "alpha", "b": "beta", "lts": "L T S", "pre": "pre", "dev": "dev"}


def grouped(written: str) -> str:
    """Return the digits and letters of *written* one by one, with a pause between its groups."""
    groups = re.findall(r"\d+|[A-Za-z]+", written)
    return ", ".join(
        spelled(each) if each.isdecimal() else " ".join(each.upper()) for each in groups
    )


def _code(written: str) -> str:
    """Read groups of letters and digits, such as those of an IBAN."""
    return ", ".join(
        " ".join(spelled(each) if each.isdecimal() else each for each in group)
        for group in written.split()
    )


def _telephone(found: re.Match[str]) -> str:
    return ("plus " if found[0].startswith("+") else "") + grouped(found[0])


def _extension(found: re.Match[str]) -> str | None:
    """Read the extension after a telephone number: "x12", "ext. 5"."""
    if not re.search(r"\d{2,}[-–‑. )/]{1,2}\d{3,},?\s?$", before(found)):
        return None
    return f"extension {spelled(found[1])}"


def _lettered(found: re.Match[str]) -> str:
    """Read a telephone number whose letters are a word, such as "1-800-FLOWERS"."""
    return ", ".join(
        spelled(each) if each.isdecimal() else each.capitalize()
        for each in _ALPHABET_KEYS.findall(found[0])
    )


def _labelled(found: re.Match[str]) -> str | None:
    """Read the number after a label such as "PIN" or "order number"."""
    ahead = before(found, 60)
    if not ahead.rstrip(" .:#=")[-1:].isalpha() or not _LABELLED.search(ahead):
        return None
    return grouped(found[0])


def _version(found: re.Match[str]) -> str:
    letter, numbers, stage, build = found.groups()
    said = ("version " if letter else "") + " point ".join(map(whole, numbers.split(".")))
    if stage:
        said += f" {_STAGES.get(stage.lower(), stage)}"
    return said + (f" {whole(build)}" if build else "")


def _numbered_software(found: re.Match[str]) -> str | None:
    """Read a version such as "Python 3.11", where 11 is a number of its own."""
    if not re.search(rf"(?<!\w)(?:{_SOFTWARE})[\s-]$", before(found, 14), re.IGNORECASE):
        return None
    return " point ".join(map(whole, found[0].split(".")))


def _postal(found: re.Match[str]) -> str:
    """Read a state and its postal code, such as "NY 10001-1234"."""
    return f"{' '.join(found[1])} {grouped(found[2])}"


def _masked(found: re.Match[str]) -> str:
    """Read the end of a masked number, such as "**** **** **** 4242" or "XXX-XX-6789"."""
    return f"ending in {spelled(found[1])}"


def _expiry(found: re.Match[str]) -> str:
    """Read the date on which a card expires, such as "exp 05/27"."""
    said = "valid through" if found[1] else "expires"
    return f"{said} {MONTHS[int(found[2]) - 1]} {year(2000 + int(found[3]))}"


def _coded(found: re.Match[str]) -> str | None:
    """Read a code after its label, such as "order #A1B2C3"."""
    if not _LABELLED.search(before(found, 60)):
        return None
    return f"number {letters_and_digits(found[1])}"


def _flight(found: re.Match[str]) -> str:
    """Read the number of a flight, such as "flight UA 123"."""
    return f"{letters_and_digits(found[1])} {spelled(found[2])}"


def _document(found: re.Match[str]) -> str:
    """Read the identifier of a document, such as "doi:10.1038/nphys1170"."""
    return f"D O I {said(found[1])}"


def _preprint(found: re.Match[str]) -> str:
    return f"archive {spelled(found[1])} point {spelled(found[2])}"


def _postal_behind(found: re.Match[str]) -> str | None:
    """Read a postal code before its town, as in "75008 Paris", but not "20000 Leagues"."""
    return None if found[0].endswith("000") else spelled(found[0])


def _internet_address(found: re.Match[str]) -> str:
    """Read an IPv6 address such as "fe80::1", group by group."""
    return " ".join(
        "colon" if each == ":" else "colon colon" if each == "::" else letters_and_digits(each)
        for each in re.findall(r"::|:|[^:]+", found[0])
    )


def _color(found: re.Match[str]) -> str:
    return f"hash {letters_and_digits(found[1])}"


def _model(found: re.Match[str]) -> str:
    """Read the number of a model, such as "Boeing 737-800" or "RTX 4090"."""
    return " ".join(
        _three(each) if len(each) == 3 else year(int(each)) for each in found[0].split("-")
    )


def _three(digits: str) -> str:
    """Return three digits as they are said: 305 as "three oh five", 737 as "seven thirty-seven"."""
    head, tail = digits[0], digits[1:]
    if tail == "00":
        return cardinal(int(digits))
    rest = f"oh {cardinal(int(tail))}" if tail[0] == "0" else cardinal(int(tail))
    return f"{cardinal(int(head))} {rest}"


def _hexadecimal(found: re.Match[str]) -> str:
    return " ".join(cardinal(int(each)) if each.isdecimal() else each.upper() for each in found[0])


def _characters(found: re.Match[str]) -> str:
    """Read groups of hexadecimal digits: a UUID, or the address of a network card."""
    return ", ".join(
        " ".join(cardinal(int(each)) if each.isdecimal() else each.upper() for each in group)
        for group in re.split(r"[-:]", found[0])
    )


def _room(found: re.Match[str]) -> str | None:
    """Read the number of a room: 305 as "three oh five"."""
    return _three(found[0]) if _ROOMS.search(before(found, 12)) else None


_G = rf"{_SEPARATOR}?"
_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"

READERS: list[Reader] = [
    reader(r"(?i:doi:?\s?)(10\.\d{4,9}/[\w./()-]{1,100})(?<![.,;)])", _document, "l"),
    reader(r"arXiv:\s?(\d{4})\.(\d{4,5})(?!\w)", _preprint, "l"),
    reader(
        r"(?<![\w:.])(?=[\da-fA-F:]{0,40}::|(?:[\da-fA-F]{1,4}:){7})(?=[\da-fA-F:]{0,40}\d)"
        r"(?:[\da-fA-F]{1,4})?(?:::?[\da-fA-F]{1,4}){1,8}(?:::)?(?![\w:])",
        _internet_address,
        "dl:",
    ),
    reader(r"#((?=[A-Z\d-]{0,20}\d)(?=[\d-]{0,20}[A-Z])[A-Z\d-]{3,24})(?!\w)", _coded, "#"),
    reader(r"#([\da-fA-F]{6}|[\dA-F]{3})(?<=[A-Fa-f\d])(?<!#\d{3})(?<!#\d{6})(?!\w)", _color, "#"),
    reader(r"(?:[*Xx•]{2,4}[ -]){1,3}(\d{4})(?!\w)", _masked, "l*•"),
    reader(
        r"(?<!\w)(?:[Ee]xp(?:ires?|iry)?(?: date)?|([Vv]alid (?:thru|through|until)))[.:]? "
        r"(0[1-9]|1[0-2])/(\d\d)(?![\d/])",
        _expiry,
        "l",
    ),
    reader(r"(?<=[Ff]light )([A-Z]{2}|[A-Z]\d) ?(\d{1,4})(?!\w)", _flight, "l"),
    reader(
        r"(?:(?<=Boeing )|(?<=Airbus )|(?<=Porsche )|(?<=Peugeot )|(?<=RTX )|(?<=GTX )|(?<=RFC ))"
        r"(?:[1-9]\d{2}(?:-[1-9]\d{2})?|[1-9]\d{3})(?![\w-]|[.,]\d)",
        _model,
        "d",
    ),
    reader(r"(?<![\w.,$€£-])\d{5}(?=\s[A-Z][a-zé]{2,20}(?:[,;]|\.?$))", _postal_behind, "d"),
    reader(r"(?<![\w.-])\d{4} [A-Z]{2}(?=,? [A-Z][a-z])", lambda found: _code(found[0]), "d"),
    reader(rf"(?<![\w-]){_UUID}(?![\w-])", _characters, "dl"),
    reader(
        r"(?<![\w:])[0-9a-fA-F]{2}(?:(?P<between>[:-])[0-9a-fA-F]{2})(?:(?P=between)[0-9a-fA-F]{2}){4}(?![\w:-])",
        _characters,
        "dl",
    ),
    reader(r"(?<!\w)0[xX][0-9a-fA-F]{1,32}(?!\w)", _hexadecimal, "d"),
    # +49 (0)30 1234567, +1 (212) 555-0123, 0044 20 7946 0958
    reader(
        rf"(?<![\w.])\+\d{{1,3}}{_G}(?:\(\d{{1,5}}\){_G})?\d{{1,12}}(?:{_SEPARATOR}\d{{1,10}}){{0,6}}"
        rf"(?![\w]|[-.,]\d)",
        lambda found: _telephone(found) if len(re.sub(r"\D", "", found[0])) > 6 else None,
        "+",
    ),
    reader(
        r"(?<![\w.-])(?:1[-. ])?[2-9]\d\d[-. ](?=[A-Z\d-]{0,8}[A-Z])[A-Z\d]{2,4}-?[A-Z\d]{3,5}"
        r"(?![\w-])",
        _lettered,
        "d",
    ),
    reader(
        rf"(?<![\w.-])(?:\+?1{_SEPARATOR})?\(?\d{{3}}\)?{_G}\d{{3}}[-–‑.]\d{{4}}(?![\w-]|\.\d)",
        _telephone,
        "d+(",
    ),
    reader(
        rf"(?<![\w.-])(?:1{_SEPARATOR})?\(\d{{3}}\) ?\d{{3}}{_SEPARATOR}\d{{4}}(?![\w-])",
        _telephone,
        "d(",
    ),
    reader(r"(?<![\w.-])(?:1 )?[2-9]\d{2} \d{3} \d{4}(?![\w-]|[.,]\d)", _telephone, "d"),
    reader(r"(?<![\w.-])\d{3}(?:[-‑]\d| 0)\d{3}(?![\w-]|\.\d)", _telephone, "d"),
    reader(r"(?<![\w.-])\(\d{2}\) \d{4,5}-\d{4}(?![\w-])", _telephone, "("),
    reader(
        r"(?<![\w.-])(?:8 )?(?:\(\d{3,5}\) ?)?\d{2,3}-\d{2}-\d{2}(?![\w-]|\s?=)",
        lambda found: _telephone(found) if len(re.sub(r"\D", "", found[0])) > 6 else None,
        "d(",
    ),
    reader(
        rf"(?<![\w.])\(0\d{{1,5}}\){_G}\d{{2,9}}(?:{_SEPARATOR}\d{{2,6}}){{0,4}}(?![\w-])",
        _telephone,
        "(",
    ),
    # 020 7946 0958, 01 23 45 67 89, 0151-23456789, 03-1234-5678
    reader(
        rf"(?<![\w.,-])0\d{{1,5}}(?:{_SEPARATOR}\d{{2,9}}){{1,5}}(?![\w-]|[.,]\d)",
        lambda found: _telephone(found) if len(re.sub(r"\D", "", found[0])) > 6 else None,
        "d",
    ),
    reader(r"(?<![\w.,-])\d{5} \d{5}(?![\w-]|[.,]\d)", _telephone, "d"),
    reader(r"(?:ext\.?|x)\s?(\d{1,6})(?!\w)", _extension, "l"),
    reader(r"(?<![\w.-])\d{3}-\d{2}-\d{4}(?![\w-])", lambda found: grouped(found[0]), "d"),
    reader(r"(?<![\w.-])\d{2}-\d{7}(?![\w-])", lambda found: grouped(found[0]), "d"),
    reader(r"(?<![\w.,-])1[38]00 \d{3} \d{3}(?![\w-]|[.,]\d)", _telephone, "d"),
    reader(
        r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?(?!\w)",
        lambda found: _code(found[0]),
        "l",
    ),
    reader(
        r"(?<![\w.-])\d{4}(?:(?P<gap>[ -])\d{4})(?:(?P=gap)\d{4}){1,3}(?:(?P=gap)\d{1,3})?"
        r"(?![\w-])",
        lambda found: grouped(found[0]),
        "d",
    ),
    reader(r"(?<![\w.-])\d{4} \d{6} \d{5}(?![\w-])", lambda found: grouped(found[0]), "d"),
    reader(
        r"(?<![\w.-])97[89]-?\d{1,5}-\d{1,7}-\d{1,7}-[\dX](?![\w-])",
        lambda found: grouped(found[0]),
        "d",
    ),
    reader(r"(?<!\w)([A-Z]{2}),? (\d{5}(?:-\d{4})?)(?![\w-]|[.,]\d)", _postal, "l"),
    reader(r"(?<![\w.,-])\d{5}-\d{4}(?![\w-])", lambda found: grouped(found[0]), "d"),
    reader(
        r"(?<![\w.,$€£])(?=\d[- ]?\d[- ]?\d)\d{1,12}(?:[- ]\d{1,12}){0,6}(?![\w]|[-.,:/]\d)",
        _labelled,
        "d",
    ),
    reader(r"(?<![\w.,-])(?:911|9-1-1)(?!\w|[-.,]\d|\s(?:people|[a-z]+s)\b)", "nine one one", "d"),
    reader(
        rf"(?<![\w.])(v|V(?=\d{{1,6}}\.\d))(\d{{1,6}}(?:\.\d{{1,6}}){{0,6}}){_STAGE}(?!\.?\w)",
        _version,
        "l",
    ),
    reader(
        rf"(?<![\w.])(?!\d{{1,3}}(?:\.\d{{3}}){{2,6}}(?![\w.-]))()(\d{{1,6}}(?:\.\d{{1,6}}){{2,6}}){_STAGE}(?!\.?\w)",
        _version,
        "d",
        any_case=True,
    ),
    reader(r"(?<![\w.,])\d{1,4}(?:\.\d{1,4}){1,3}(?![\w]|\.\d)", _numbered_software, "d"),
    reader(r"(?<![\w.,:/$€£-])[1-9]\d{2}(?![\w]|[-.,:/]\d)", _room, "d"),
    reader(r"(?<![\w.,:/-])0\d{1,30}(?![\w:/]|[.,]\d)", lambda found: spelled(found[0]), "d"),
    reader(r"(?<![\w.,])\d{16,}(?!\w|[.,]\d)", lambda found: spelled(found[0]), "d"),
]
