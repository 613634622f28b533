"""Writings that are said in a way of their own."""

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
    "50/50": "fifty-fifty",
    "20/20": "twenty-twenty",
    "9/11": "nine eleven",
    "a.k.a.": "also known as",
    "aka": "also known as",
    "AKA": "also known as",
    "Ctrl": "control",
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

READERS: list[Reader] = [
    reader(
        "(?<![\\w/.])(?:"
        + "|".join(re.escape(each) for each in sorted(_SAID, key=len, reverse=True))
        + r")(?![\w/+]|\.\w)",
        lambda found: _SAID[found[0]],
        "dl",
    ),
    reader(r"(?<![\w/])w/(?=[^\W\d_]{2})", "with", "l"),
    reader(r"(?<!\w)n/a(?!\w)", "N A", "l", any_case=True),
]
