"""English text to phonemes in misaki's alphabet, by the package hibari-tts."""

import logging
import re
import sys
import unicodedata

from hibari.g2p import G2P, normalize

from handler_kit.errors import InvalidInput
from handler_kit.one_thread import one_thread
from synthesis_kit.normalization import readable

log = logging.getLogger(__name__)

UNKNOWN_WORD = "Zyxqworv"  # no lexicon has it: asked once, so that nobody waits for the first one
LONGEST_RUN = 20  # characters without a space that are looked up as one word
MOST_PARTS = 9  # words and signs of such a run; "state-of-the-art" has seven
_RUN = re.compile(rf"\S{{{MOST_PARTS + 1},}}")
# Raised, lowered and circled digits: hibari takes them for numbers, and fails.
_DIGITS = re.compile(
    "["
    + "".join(
        each
        for each in map(chr, range(sys.maxunicode + 1))
        if each.isdigit() and not each.isdecimal()
    )
    + "]"
)
_STRESS = frozenset("ˈˌ")


class Pronunciation:
    """Lexicon, part-of-speech tagger, and a small network for words that no lexicon has.

    All of them lie in the installed package; nothing is downloaded.
    """

    def __init__(self) -> None:
        self._phonemize = G2P()
        self.phonemes(UNKNOWN_WORD, normalized=False)

    def phonemes(self, text: str, *, normalized: bool) -> str:
        """How *text* is said; "" for what nobody can say.

        *normalized*: numbers, dates, addresses and abbreviations are spelled out before.
        """
        words = normalize(readable(text)) if normalized else " ".join(text.split())
        words = _RUN.sub(lambda run: parted(run[0]), words)
        said = self._said(_DIGITS.sub(lambda digit: str(unicodedata.digit(digit[0])), words))
        return said if any(each.isalpha() and each not in _STRESS for each in said) else ""

    def _said(self, words: str) -> str:
        """Raises InvalidInput for what the package stumbles over, and logs it."""
        try:
            with one_thread():  # it asks a tiny network word by word
                return str(self._phonemize(words, normalize_text=False)) if words else ""
        except Exception as exc:
            log.exception("hibari's pronunciation failed")
            raise InvalidInput("The text holds what this voice cannot pronounce") from exc


def parted(run: str) -> str:
    """*run* with spaces after every LONGEST_RUN characters or MOST_PARTS words and signs, but
    none inside a word.

    Of a run of n words and signs hibari looks up every part, in time that grows with n³: two
    thousand hyphens in one request would hold a worker for an hour.
    """
    parts, start, count = [], 0, 1
    for place in range(1, len(run)):
        before, after = run[place - 1], run[place]
        if not _is_border(before, after):
            continue
        count += not (before.isdigit() and after.isdigit())  # a number is one part
        if place - start >= LONGEST_RUN or count > MOST_PARTS:
            parts.append(run[start:place])
            start, count = place, 1
    return " ".join([*parts, run[start:]])


def _is_border(before: str, after: str) -> bool:
    """Whether a word ends between two characters: at a sign or a digit, or as in camelCase."""
    both = before.isalpha() and after.isalpha()
    return not both or (before.islower() and after.isupper())
