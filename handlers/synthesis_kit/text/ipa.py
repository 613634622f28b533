"""Pronunciations in the International Phonetic Alphabet, in the symbols that English voices know.

misaki's alphabet, https://github.com/hexgrad/misaki/blob/main/EN_PHONES.md, writes a diphthong or
an affricate as one letter, omits the length of vowels, and puts the stress right before the vowel.
"""

import re

from handler_kit.errors import InvalidInput

MAX_WORDS = 100

_SPELLINGS = (  # the longer first
    ("d͡ʒ", "ʤ"),
    ("t͡ʃ", "ʧ"),
    ("dʒ", "ʤ"),
    ("tʃ", "ʧ"),
    ("eɪ", "A"),
    ("aɪ", "I"),
    ("aʊ", "W"),
    ("ɔɪ", "Y"),
    ("oʊ", "O"),
    ("əʊ", "O"),
    ("ɪə", "ɪɹ"),
    ("eə", "ɛɹ"),
    ("ʊə", "ʊɹ"),
    ("ɝ", "ɜɹ"),
    ("ɚ", "əɹ"),
    ("ɜː", "ɜɹ"),
    ("l̩", "ᵊl"),
    ("n̩", "ᵊn"),
    ("m̩", "ᵊm"),
    ("ɫ", "l"),
    ("r", "ɹ"),
    ("g", "ɡ"),
    ("ɾ", "T"),
    ("ʔ", "t"),
    ("e", "ɛ"),
    ("ɒ", "ɑ"),
    ("a", "æ"),
    ("o", "O"),
    ("ɨ", "ᵻ"),
    ("ɐ", "ə"),
    ("'", "ˈ"),
)
_SILENT = re.compile("[\u0361\u035cːˑ.‿|/\\[\\] ]")
_VOWELS = "AIOWYiuæɑɔəɛɜɪʊʌᵊᵻ"
_KNOWN = frozenset("bdfhijklmnpstuvwzðŋɡɹʃʒʤʧθTˈˌ" + _VOWELS)
_STRESS = re.compile(rf"([ˈˌ])([^{_VOWELS}ˈˌ]*)(?=[{_VOWELS}])")
_SPELLED = re.compile("|".join(re.escape(ipa) for ipa, _ in _SPELLINGS))
_SPELLING = dict(_SPELLINGS)


def pronunciation(word: str, ipa: str) -> str:
    """Return *ipa* in the voices' symbols.  Raises InvalidInput naming the sounds they lack."""
    symbols = _SILENT.sub("", _SPELLED.sub(lambda found: _SPELLING[found[0]], ipa.strip()))
    lacking = sorted(set(symbols) - _KNOWN)
    if lacking:
        raise InvalidInput(
            f"{word}: the voice does not have the sounds {', '.join(lacking)}",
            field="pronunciations",
        )
    if not any(each in _VOWELS for each in symbols):
        raise InvalidInput(f"{word}: must have a vowel", field="pronunciations")
    return _STRESS.sub(r"\2\1", symbols)
