"""Written forms with a fixed spoken form."""

import re

from english_kit.scanner import Reader, reader

_SAID = {
    "JSON": "Jason",
    "YAML": "yammel",
    "README": "read me",
    "NGINX": "engine X",
    "nginx": "engine X",
    "C#": "C sharp",
    "F#": "F sharp",
    "C++": "C plus plus",
    "CO2": "C O two",
    "CO₂": "C O two",
    "24/7": "twenty-four seven",
    "24x7": "twenty-four seven",
    "pH": "P H",
    "WWI": "World War one",
    "WWII": "World War two",
    "WW1": "World War one",
    "WW2": "World War two",
    "I/O": "I O",
    "A/B": "A B",
    "TCP/IP": "TCP IP",
    "c/o": "care of",
    "&c.": "etcetera",
    "50/50": "fifty-fifty",
    "20/20": "twenty-twenty",
    "9/11": "nine eleven",
    "a.k.a.": "also known as",
    "aka": "also known as",
    "AKA": "also known as",
    "w/": "with",
    "w/o": "without",
    "b/c": "because",
    "and/or": "and or",
    "he/she": "he or she",
    "she/he": "she or he",
    "his/her": "his or her",
    "him/her": "him or her",
    "BTW": "by the way",
    "IMO": "in my opinion",
    "IMHO": "in my humble opinion",
    "TBD": "to be determined",
    "TBA": "to be announced",
    "iOS": "I O S",
    "macOS": "mac O S",
    "iPhone": "eye phone",
    "iPad": "eye pad",
}

_KEYS = {"Ctrl": "control", "Cmd": "command", "Esc": "escape", "Del": "delete"}
_EMOTICONS = {
    **dict.fromkeys(")", "smiling face"),
    **dict.fromkeys("(", "frowning face"),
    **dict.fromkeys("D", "grinning face"),
    **dict.fromkeys("Pp", "face with its tongue out"),
    **dict.fromkeys("Oo", "surprised face"),
    **dict.fromkeys("/|", "doubtful face"),
}
_THUMBS = {"+": "thumbs up", "-": "thumbs down"}


def _short_code(found: re.Match[str]) -> str:
    """Read the code of a picture, such as ":tada:" or ":red_heart:"."""
    return found[1].replace("_", " ")


def _derivative(found: re.Match[str]) -> str:
    """Read a derivative, such as "dy/dx" or "∂f/∂x"."""
    sign = "partial" if found[1] == "∂" else "d"
    return f"{sign} {found[2]} over {sign} {found[3]}"


READERS: list[Reader] = [
    reader(
        "(?<![\\w/.])(?:"
        + "|".join(re.escape(each) for each in sorted(_SAID, key=len, reverse=True))
        + r")(?![\w/+]|\.\w)",
        lambda found: _SAID[found[0]],
        "dl&",
    ),
    reader(
        r"(?<!\w)(?:Ctrl|Cmd|Esc|Del)(?=[+-]\w|[\s.,]|$)",
        lambda found: _KEYS[found[0]],
        "l",
    ),
    reader(
        r"(?<!\w)802\.11([a-z]{1,2})?(?!\w)",
        lambda found: " ".join(["eight oh two point eleven", *(found[1] or "").upper()]),
        "d",
    ),
    reader(r"#(?=(?:include|define|undef|ifn?def|endif|pragma)\b)", "hash", "#"),
    reader(
        r"(?<!\S)[:;=]-?[()DPpOo/|](?=\s|$|[.,!?])",
        lambda found: (
            _EMOTICONS[found[0].replace("-", "")[-1]] if found[0][0] != ";" else "winking face"
        ),
        ":;=",
    ),
    reader(r"(?<!\S):([a-z][a-z0-9]{1,20}(?:_[a-z0-9]{1,20}){0,4}):(?!\S)", _short_code, ":"),
    reader(r"(?<!\S):[+-]1:(?!\S)", lambda found: _THUMBS[found[0][1]], ":"),
    reader(r"(?:(?<=[A-Za-z]{2} )|(?<=\bI )|(?<!.))<3(?=\s[A-Za-z]|\s?$|[.!])", "heart", "<"),
    reader(r"(?<!\w)([d∂])([a-zA-Z])/[d∂]([a-z])(?!\w)", _derivative, "l∂"),
    reader(r"(?<![\w/])w/(?=[^\W\d_]{2})", "with", "l"),
    reader(r"(?<!\w)n/a(?!\w)", "N A", "l", any_case=True),
]
