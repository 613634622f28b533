"""Mail and web addresses, names of files, addresses of machines, mentions."""

import re

from english_kit.numerals import spelled, whole
from english_kit.scanner import Reader, reader

_SYMBOLS = {
    ".": "dot",
    "/": "slash",
    "\\": "backslash",
    "-": "dash",
    "_": "underscore",
    ":": "colon",
    "?": "question mark",
    "=": "equals",
    "&": "and",
    "#": "hash",
    "%": "percent",
    "+": "plus",
    "~": "tilde",
    "@": "at",
    ",": "comma",
    ";": "semicolon",
    "!": "exclamation mark",
    "*": "asterisk",
    "$": "dollar",
    "'": "apostrophe",
}
_SPELLED = re.compile(
    "ai|api|cdn|cfg|ch|css|csv|de|eu|exe|fr|ftp|htm|html|id|ini|io|jpg|js|md|mp3|mp4|nl|pdf"
    "|php|png|py|sh|sql|ssh|svg|ts|tv|txt|uk|url|us|wav|www|xml"
)
_PARTS = re.compile(r"[^\W\d_]+|\d+|.", re.DOTALL)
_END = r"(?<![.,;:!?'\"])"  # a sentence's punctuation is not part of an address
_TOP = "com|org|net|edu|gov|mil|io|dev|ai|app|co|uk|de|fr|info|eu|us|ca|ch|at|nl|tv|biz|me|xyz"
_FILES = (
    "txt|json|ya?ml|toml|ini|cfg|conf|log|csv|tsv|xml|html?|css|js|ts|py|rs|go|sh|md|pdf|docx?"
    "|xlsx?|pptx?|png|jpe?g|gif|svg|mp[34]|wav|flac|ogg|zip|tar|gz|exe|onnx|mar|java|cpp|php|sql"
)


def said(address: str) -> str:
    """Return *address* in words, part by part, with its signs by their names."""
    return " ".join(_part(part) for part in _PARTS.findall(address) if part.strip())


def _part(part: str) -> str:
    if part.isdecimal():
        return whole(part) if len(part) < 4 else spelled(part)
    if _SPELLED.fullmatch(part.lower()):
        return " ".join(part.upper())
    if len(part) > 1 and not re.search("[aeiouy]", part.lower()):
        return " ".join(part.upper())
    return _SYMBOLS.get(part, part)


def _web(found: re.Match[str]) -> str:
    written = found[0].replace("’", "'")
    ending = "'s" if written.endswith("'s") else ""
    address = re.sub(r"^\w+://", "", written.removesuffix(ending)).rstrip("/")
    return said(address or written) + ending


def _machine(found: re.Match[str]) -> str:
    port = f" port {whole(found[2])}" if found[2] else ""
    port += f" slash {whole(found[3])}" if found[3] else ""
    return " dot ".join(map(whole, found[1].split("."))) + port


READERS: list[Reader] = [
    reader(
        r"(?<![\w.+-])[\w.+-]{1,64}+@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}\b",
        lambda found: said(found[0]),
        "dl_.+-",
    ),
    reader(
        rf"(?:https?://|s?ftp://|wss?://|www\.)[^\s<>()\[\]\"]{{1,2000}}{_END}",
        _web,
        "l",
        any_case=True,
    ),
    reader(
        r"(?<![\w.])(\d{1,3}(?:\.\d{1,3}){3})(?::(\d{1,5}))?(?:/(\d{1,3}))?(?!\.?\w)", _machine, "d"
    ),
    reader(
        rf"(?<![\w.])(?:[a-z0-9][a-z0-9-]{{0,62}}+\.){{1,8}}(?:{_TOP})\b(?!\.?\w)"
        rf"(?::\d{{1,5}})?(?:[/?#][^\s<>()\"]{{0,2000}})?{_END}(?:['’]s(?!\w))?",
        _web,
        "ld",
        any_case=True,
    ),
    reader(
        rf"(?<!\w)[\w-]{{1,64}}+(?:\.[\w-]{{1,32}}+){{0,4}}\.(?:{_FILES})\b(?!\.?\w)",
        lambda found: said(found[0]),
        "ld_-",
    ),
    reader(
        r"(?<![\w/])(?:/(?:[\w.-]{1,64}+/){1,16}|(?:~|\.{1,2})/(?:[\w.-]{1,64}+/){0,16})"
        r"[\w-]{0,64}(?:\.\w{1,16}){0,3}",
        lambda found: said(found[0]),
        "~./",
    ),
    reader(
        r"(?<!\w)[A-Za-z]:\\[\w\\-]{0,200}(?:\.\w{1,16}){0,3}", lambda found: said(found[0]), "l"
    ),
    reader(r"(?<!\S)\.(?=[A-Za-z])", "dot", "."),
    reader(r"(?<=[a-z0-9_])\.(?=[a-z_]\w|h>)", "dot", "."),
    reader(r"(?<![\w@])@(?=[^\W\d])[\w.]{0,63}\w", lambda found: said(found[0]), "@"),
]
