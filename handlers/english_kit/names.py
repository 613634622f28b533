"""Words with unusual capitals or digits: hashtags, camel case, acronyms, emphasis in capitals.

Acronyms stay in capitals: the voice's lexicon speaks them as words or spells them.
"""

import re
import unicodedata

from english_kit.foreign import greek_letter
from english_kit.numerals import letters_and_digits, spelled, whole, year
from english_kit.scanner import LETTER, Known, Reader, before, behind, reader

LONGEST_ACRONYM = 5  # letters; a longer word in capitals that nobody knows is a word
# Short words that people write in capitals for emphasis; other known ones are acronyms (IT, US).
_EMPHASISED = re.compile("AN|AS|AT|BE|BY|DO|GO|HE|IF|MY|NO|OF|OH|ON|SO|TO|UP|WE")
_FUNCTION_WORDS = re.compile(f"{_EMPHASISED.pattern}|AM|IN|IS|IT|ME|OR|US")
# Known as words, said letter by letter when they stand in capitals among others that do not.
_SPELLED_WORDS = re.compile(
    "AD|AM|AR|CIS|DOE|ED|ER|ID|IN|IS|IT|LA|LED|MA|ME|MI|MOD|MOT|OR|PA|SEC|US|WHO"
)
_BETWEEN = frozenset("BCDEFGMPV")  # businesses, consumers, peers: B2B, P2P
_FOLDED = str.maketrans(
    {
        "ß": "ss",
        "ẞ": "SS",
        "ø": "o",
        "Ø": "O",
        "æ": "ae",
        "Æ": "Ae",
        "œ": "oe",
        "Œ": "Oe",
        "đ": "d",
        "Đ": "D",
        "ð": "th",
        "Ð": "Th",
        "þ": "th",
        "Þ": "Th",
        "ł": "l",
        "Ł": "L",
        "ı": "i",
        "ħ": "h",
        "Ħ": "H",
        "ŋ": "ng",
        "Ŋ": "Ng",
        "ŧ": "t",
        "Ŧ": "T",
        "ə": "e",
        "ſ": "s",
        "ʻ": "'",
        "ʼ": "'",
    }
)
_CAMEL = re.compile(rf"[A-Z]{{2,}}(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|{LETTER}+")
_LOWERED_DIGITS = tuple("₀₁₂₃₄₅₆₇₈₉")
_RUNS = re.compile(rf"{LETTER}+|\d+")
_WORDS_NEAR = re.compile(rf"{LETTER}+(?:['’]{LETTER}+)*")


def folded(word: str) -> str:
    """Return *word* in the 26 letters, as far as Unicode has a decomposition."""
    plain = unicodedata.normalize("NFKD", word.translate(_FOLDED))
    return "".join(each for each in plain if not unicodedata.combining(each))


def letters(word: str) -> str:
    """Return *word* letter by letter."""
    return " ".join(word.upper())


class NameReader:
    """Reads names; *known* tells whether a word is known just as it is written."""

    def __init__(self, known: Known) -> None:
        self._known = known

    def readers(self) -> list[Reader]:
        """Return the readers in their order; the last reads every word."""
        return [
            reader(rf"#(?=\d{{0,9}}{LETTER})\w{{1,140}}", self._hashtag, "#"),
            reader(
                rf"(?<!\w)(?={LETTER}{{1,32}}\d|\d{{1,32}}{LETTER})(?:{LETTER}|\d){{2,40}}(?!{LETTER}|\d)",
                self._mixed,
                "dl",
            ),
            reader(r"(?<!\w)[A-Z][A-Z]+(?:&[A-Z]+)+(?!\w)|(?<!\w)[A-Z]&[A-Z](?!\w)", _and, "l"),
            reader(rf"([A-Z]{{2,}})(['’]?s)?(?!{LETTER}|['’]{LETTER})", self._capitals, "l"),
            reader(rf"{LETTER}{{1,4000}}(?:['’]{LETTER}{{1,64}}){{0,3}}", self._word, "l"),
        ]

    def is_word(self, word: str) -> bool:
        """Return whether *word* is known in lower case, or as a name."""
        low = word.lower()
        return (
            self._known(low)
            or self._known(low.capitalize())
            or (len(low) > 3 and low.endswith("s") and self._known(low[:-1]))
        )

    def _hashtag(self, found: re.Match[str]) -> str:
        parts = re.split(r"_+", found[0][1:])
        return "hashtag " + " ".join(
            self._part(each) for part in parts for each in _CAMEL.findall(part)
        )

    def _part(self, part: str) -> str:
        if part.isdecimal():
            if len(part) == 4 and "1100" <= part <= "2099":
                return year(int(part))
            return whole(part) if len(part) < 4 else spelled(part)
        if part.isupper() and len(part) > 1:
            if _SPELLED_WORDS.fullmatch(part):
                return letters(part)
            return part if len(part) <= LONGEST_ACRONYM and not self.is_word(part) else part.lower()
        return part

    def _mixed(self, found: re.Match[str]) -> str | None:
        """Read letters and digits mixed, such as "B2B", "MP3", "x86" or "covid19"."""
        runs = _RUNS.findall(found[0])
        if re.fullmatch(r"\d+(?:x\d+)+", found[0]):
            return " by ".join(whole(run) for run in runs if run != "x")
        if len(runs) > 12:
            return letters_and_digits(found[0])
        said = []
        for run in runs:
            if run == "2" and len(runs) == 3 and {runs[0], runs[2]} <= _BETWEEN:
                said.append("to")
            elif run.isdecimal():
                said.append(_digits(run))
            else:
                said.append(self._letters_beside_digits(run))
        return " ".join(said)

    def _letters_beside_digits(self, run: str) -> str:
        if not run.isascii() and any(greek_letter(each) for each in run):
            return " ".join(greek_letter(each) or each.upper() for each in run)  # 2πr
        if len(run) > 2 and self.is_word(run) and not run.isupper():
            return run
        if re.search("[a-z][A-Z]", run):
            return " ".join(self._part(part) for part in _CAMEL.findall(run))
        if len(run) > LONGEST_ACRONYM or (run.isupper() and self._known(run) and len(run) > 2):
            return run
        return letters(run)

    def _capitals(self, found: re.Match[str]) -> str:
        """Read a word in capitals: an acronym, or an emphasised word."""
        word, ending = found[1], (found[2] or "").replace("’", "'")
        if behind(found, 1) in _LOWERED_DIGITS:
            return letters(word)  # SO₂
        if not ending and self._is_shouted(found, word):
            return self._shouted(word)
        if not ending and _SPELLED_WORDS.fullmatch(word):
            return letters(word)
        emphasised = _EMPHASISED.fullmatch(word) or (len(word) > 2 and self.is_word(word))
        if emphasised and not self._known(word):
            return word.lower() + ending
        return self._acronym(word) + ending

    def _acronym(self, word: str) -> str:
        """Return *word* as it stands, unless it is too long to be spelled."""
        is_short = len(word) <= LONGEST_ACRONYM or self._known(word)
        return word if is_short or not _is_sayable(word) else word.capitalize()

    def _shouted(self, word: str) -> str:
        if self._known(word) and (len(word) > 3 or not self.is_word(word)):
            return word
        return word.lower() if self.is_word(word) else self._acronym(word)

    def _is_shouted(self, found: re.Match[str], word: str) -> bool:
        """Return whether the words around it are in capitals too, and are known words."""
        ahead = " ".join(_line_before(found).split()[-4:])
        after = " ".join(_line_behind(found).split()[:4])
        near = [*_WORDS_NEAR.findall(ahead)[-2:], *_WORDS_NEAR.findall(after)[:2]]
        loud = [each for each in near if each.isupper() and (len(each) > 1 or each in "AI")]
        known = [each for each in loud if self._is_plain_word(each)]
        if not near or not known:
            return False
        return len(loud) == len(near) or (len(loud) >= 2 and len(word) > 2)

    def _is_plain_word(self, word: str) -> bool:
        """Return whether *word* in capitals is an emphasised word rather than an acronym."""
        if len(word) < 3:
            return _FUNCTION_WORDS.fullmatch(word) is not None
        return self.is_word(word)

    def _word(self, found: re.Match[str]) -> str:
        word = found[0].replace("’", "'")
        if self._known(word) or self.is_word(word):
            return word
        plain = folded(word)
        if not plain.isascii() or "'" in plain:
            return plain
        parts = _CAMEL.findall(plain)
        if len(parts) > 1 and not (len(parts) == 2 and len(parts[0]) < 3):
            return " ".join(self._part(part) for part in parts)
        return plain


def _line_before(found: re.Match[str]) -> str:
    return re.split(r"[.!?;\n]", before(found, 60))[-1]


def _line_behind(found: re.Match[str]) -> str:
    return re.split(r"[.!?;\n]", behind(found, 60))[0]


def _digits(run: str) -> str:
    if len(run) == 4 and "1900" <= run <= "2099":
        return year(int(run))
    return whole(run) if len(run) < 3 else spelled(run)


def _and(found: re.Match[str]) -> str:
    """Read two letters joined by an ampersand, such as "R&D" or "AT&T"."""
    return " and ".join(each if len(each) < 2 else letters(each) for each in found[0].split("&"))


def _is_sayable(word: str) -> bool:
    """Return whether it has vowels enough, and never five consonants in a row."""
    return not re.search(r"[^AEIOUY]{5}", word) and len(re.findall("[AEIOUY]", word)) * 5 >= len(
        word
    )
