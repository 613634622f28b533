"""misaki's English phonemes in the symbols that espeak writes, which Piper voices learned from.

misaki's alphabet: https://github.com/hexgrad/misaki/blob/main/EN_PHONES.md.  It writes a diphthong
or an affricate as one letter and leaves vowels' lengths out.
"""

import re

_VOWEL = "(?=[AIOQWYaiuæɐɑɒɔəɛɜɪʊʌᵊᵻ])"  # follows, without a stress of its own
_STRESSED = "(?=[ˈˌ])"

_SPELLINGS = (  # in this order
    (f"ɜɹ(?:{_STRESSED}|{_VOWEL})", "ɜːɹ"),  # hurry: the r colours the vowel and is heard too
    ("ɜɹ", "ɜː"),
    (f"əɹ{_VOWEL}", "ɚɹ"),  # different
    (f"əɹ(?!{_STRESSED})", "ɚ"),  # better; in "around" the r belongs to the next syllable
    ("ᵊ", "ə"),
    ("A", "eɪ"),
    ("I", "aɪ"),
    ("W", "aʊ"),
    ("Y", "ɔɪ"),
    ("O", "oʊ"),
    ("Q", "əʊ"),
    ("ʤ", "dʒ"),
    ("ʧ", "tʃ"),
    ("T", "ɾ"),
    ("ɑ(?!ː)", "ɑː"),
    ("ɔ(?![ɪː])", "ɔː"),
    ("u(?!ː)", "uː"),
    ("(?<=[ˈˌ])i(?!ː)", "iː"),
    ("—", ","),
    ("…", "."),
    ('["“”()]', ""),  # espeak never writes them: a voice has not learned what they sound like
)
_RULES = [(re.compile(sign), spelling) for sign, spelling in _SPELLINGS]


def espeak_symbols(phonemes: str) -> str:
    """Return *phonemes* as espeak spells en-us; what has no rule stays as it is."""
    for sign, spelling in _RULES:
        phonemes = sign.sub(spelling, phonemes)
    return phonemes
