"""Abbreviations and names that no lexicon has, as they are said."""

import re

from synthesis_kit.rewriting import Rule, rule

_SAID = {
    "JSON": "Jason",
    "YAML": "yammel",
    "README": "read me",
    "NGINX": "engine X",
    "nginx": "engine X",
    "C#": "C sharp",
    "F#": "F sharp",
    "CO2": "C O 2",
    "CO₂": "C O 2",
    "H₂O": "H 2 O",
    "24/7": "twenty-four seven",
    "50/50": "fifty-fifty",
    "20/20": "twenty-twenty",
    "9/11": "nine eleven",
    "a.k.a.": "also known as",
    "Ctrl": "control",
}

RULES: list[Rule] = [
    rule(
        rf"(?<!\w)(?:{'|'.join(map(re.escape, _SAID))})(?!\w)",
        lambda found: _SAID[found[0]],
    ),
    rule(r"\betc\.(?=,? +[a-z])", "etc"),
    rule(r"\b([A-Z]\w+) Dr\.(?= *$|,| +[a-z])", r"\1 Drive"),
]
