"""Mail and web addresses, names of files, addresses of machines."""

import re

from synthesis_kit.rewriting import Rule, rule

_SYMBOLS = {
    ".": " dot ",
    "/": " slash ",
    "-": " dash ",
    "_": " underscore ",
    ":": " colon ",
    "?": " question mark ",
    "=": " equals ",
    "&": " and ",
    "#": " hash ",
    "%": " percent ",
    "+": " plus ",
    "~": " tilde ",
}
_SPELLED = re.compile(
    r"\b(www|uk|us|io|ai|de|fr|eu|tv|txt|csv|html?|css|js|md|cfg|xml)\b", re.IGNORECASE
)
_END = r"(?<![.,;:!?)\]'\"])"  # a sentence's punctuation is no part of an address
_TOP = "com|org|net|edu|gov|io|dev|ai|app|co|uk|de|fr|info|eu|us|ca|ch|at|nl|tv"
_FILES = (
    "txt|json|ya?ml|toml|ini|cfg|conf|log|csv|xml|html?|css|js|ts|py|sh|md|pdf|docx?|xlsx?|pptx?"
    "|png|jpe?g|gif|svg|mp[34]|wav|flac|zip|tar|gz|exe|onnx|mar"
)


def _said(found: re.Match[str]) -> str:
    address = re.sub(r"^\w+://", "", found[0]).rstrip("/").replace("@", " at ")
    said = "".join(_SYMBOLS.get(symbol, symbol) for symbol in address)
    said = re.sub(r"(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])", " ", said)
    said = _SPELLED.sub(lambda word: " ".join(word[0].upper()), said)
    return " ".join(said.split())


def _machine(found: re.Match[str]) -> str:
    port = f" port {found[2]}" if found[2] else ""
    return found[1].replace(".", " dot ") + port


RULES: list[Rule] = [
    rule(r"\b[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+\b", _said),
    rule(rf"\b(?:https?://|ftp://|www\.)[^\s<>()\[\]\"]+{_END}", _said, any_case=True),
    rule(r"(?<![\w.])(\d{1,3}(?:\.\d{1,3}){3})(?::(\d{1,5}))?(?!\.?\w)", _machine),
    rule(
        rf"\b(?:[a-z0-9][a-z0-9-]{{0,62}}\.){{1,8}}(?:{_TOP})\b(?:/[^\s<>()\"]*)?{_END}",
        _said,
        any_case=True,
    ),
    rule(rf"\b[\w-]{{1,64}}\.(?:{_FILES})\b(?!\.?\w)", _said),
    rule(
        r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(?::\d\d(?:\.\d+)?)?(Z?)\b",
        lambda found: f"{found[1]} at {found[2]}" + (" UTC" if found[3] else ""),
    ),
]
