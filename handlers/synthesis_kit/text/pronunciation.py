"""English text as phonemes in misaki's alphabet, with the package hibari-tts."""

import logging
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from hibari.g2p import G2P
from hibari.g2p.oov import OOV

from english_kit.reading import EnglishReader, Reading, pronounced
from english_kit.scanner import Scanner, reader
from handler_kit.errors import InvalidInput
from handler_kit.threads import one_thread
from synthesis_kit.word_times import CountedWord

log = logging.getLogger(__name__)

UNKNOWN_WORD = "Zyxqworv"  # no lexicon has it: asked once, so that nobody waits for the first one
LONGEST_WORD = 20  # letters that the network for unknown words is asked for at once
LONGEST_RUN = 20  # characters without a space that are looked up as one word
MOST_PARTS = 9  # words and signs of such a run; "state-of-the-art" has seven
BEHIND_DIGITS = 0x20000  # Unicode has none from its third plane on; looking there takes 0.1 s
_RUN = re.compile(rf"\S{{{MOST_PARTS + 1},}}")
# Raised, lowered and circled digits: hibari takes them for numbers, and fails.
_DIGITS = re.compile(
    "["
    + "".join(
        each for each in map(chr, range(BEHIND_DIGITS)) if each.isdigit() and not each.isdecimal()
    )
    + "]"
)
_PRONOUNCED = re.compile(r"(\[[^\[\]]{1,200}\]\(/[^()]{1,200}/\))")  # as hibari's package reads it
# Among spelled letters, and where a phrase ends, A is not an article; nor is it in "A four".
_LETTER_A = re.compile(
    r"(?<![^\s(])A(?=(?: [B-Z]){1,40}\b(?!')|[.,;:!?)]|$"
    r"|(?: (?:one|two|three|four|five|six|seven|eight|nine|ten))"
    r"(?:[.,;:!?)]|$| (?:paper|sheet|size)))"
    r"|(?<=\b[B-Z] )A(?![\w'])"
)
_TENS = re.compile(r"\b(twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)-(?=[a-z])")
_STRESS = frozenset("ˈˌ")


class Symbols(NamedTuple):
    """What a network is given; *symbols* is "" for what nobody can say.

    *left_out* are words of the text for which the voice has no sounds; *words* are those that are
    said, where the reader knows.
    """

    symbols: str
    left_out: Sequence[str] = ()
    words: Sequence[CountedWord] = ()


class Pronunciation:
    """A lexicon, a part-of-speech tagger, and a small network for words that no lexicon has.

    All of them lie in the installed package; nothing is downloaded.
    """

    def __init__(self) -> None:
        self._phonemize = G2P(oov=_whole_words(OOV()))
        self._english = EnglishReader(known_words(self._phonemize.lexicon))
        self.phonemes(UNKNOWN_WORD, normalized=False)

    def phonemes(
        self,
        text: str,
        *,
        normalized: bool,
        is_marked_up: bool = True,
        pronunciations: Mapping[str, str] | None = None,
    ) -> Symbols:
        """Return how *text* is said.

        *normalized*: numbers, dates, addresses and abbreviations are spelled out first, and with
        *is_marked_up* Markdown and HTML are dropped.  *pronunciations* are phonemes of words.
        """
        reading = (
            self._english.read(text, pronunciations, is_marked_up=is_marked_up)
            if normalized
            else Reading(_as_it_stands(text, pronunciations), [])
        )
        words = "".join(
            part if place % 2 else _prepared(part)
            for place, part in enumerate(_PRONOUNCED.split(reading.words))
        )
        tokens = self._tokens(words)
        said = "".join(
            (token.phonemes or "") + (" " if token.whitespace else "") for token in tokens
        ).strip()
        if not any(each.isalpha() and each not in _STRESS for each in said):
            return Symbols("", reading.left_out)
        return Symbols(said, reading.left_out, list(_words(tokens)))

    def _tokens(self, words: str) -> list[Any]:
        """Return the package's tokens.  Raises InvalidInput, and logs it, if the package fails."""
        try:
            with one_thread():  # it asks a tiny network word by word
                tokens = self._phonemize.tokenize(words)
                return list(self._phonemize.phonemize_tokens(tokens)) if tokens else []
        except Exception as exc:
            log.exception("hibari's pronunciation failed")
            raise InvalidInput("The text holds something that this voice cannot pronounce") from exc


def _words(tokens: Sequence[Any]) -> Iterator[CountedWord]:
    """Yield what stands between spaces, and how many symbols say it."""
    text, count = "", 0
    for token in tokens:
        text += token.text
        count += len("".join((token.phonemes or "").split()))
        if token.whitespace or token is tokens[-1]:
            yield text, count
            text, count = "", 0


def known_words(lexicon: Any) -> Callable[[str], bool]:
    """Return a function that tells whether hibari's *lexicon* has a word exactly as written."""
    certain, likely = lexicon.golds.d, lexicon.silvers.d
    return lambda word: word in certain or word in likely


def _as_it_stands(text: str, pronunciations: Mapping[str, str] | None) -> str:
    """Return *text* unnormalised, but without brackets, which would pass for pronunciations."""
    plain = " ".join(text.split()).replace("[", "(").replace("]", ")")
    if not pronunciations:
        return plain
    rest = reader(r"\w+|[^\w\s]", lambda found: found[0])
    said, end = "", 0
    for piece in Scanner([pronounced(pronunciations), rest]).pieces(plain):
        said += " " * (piece.start > end) + piece.said
        end = piece.end
    return said


def _prepared(words: str) -> str:
    """Return *words* so that hibari's package takes bounded time and reads letters as letters."""
    words = _RUN.sub(lambda run: parted(run[0]), words)
    words = _TENS.sub(r"\1 ", words)  # as the voices have learned numbers: two words
    words = _LETTER_A.sub("[A](/ˈA/)", words)
    return _DIGITS.sub(lambda digit: str(unicodedata.digit(digit[0])), words)


def _whole_words(network: Callable[[str], str | None]) -> Callable[[str], str | None]:
    """Return *network* for words of any length: by itself it forgets the end of long ones."""

    def say(word: str) -> str | None:
        parts = [network(part) for part in syllables(word)]
        return "".join(part for part in parts if part) or None

    return say


def syllables(word: str) -> list[str]:
    """Return *word* in parts of at most LONGEST_WORD letters, each cut after a vowel if it can."""
    parts = []
    while len(word) > LONGEST_WORD:
        head = word[:LONGEST_WORD]
        cuts = [
            place
            for place in range(LONGEST_WORD // 2, LONGEST_WORD)
            if head[place - 1].lower() in "aeiouy" and head[place].lower() not in "aeiouy"
        ]
        end = cuts[-1] if cuts else LONGEST_WORD
        parts.append(word[:end])
        word = word[end:]
    return [*parts, word]


def parted(run: str) -> str:
    """Return *run* with spaces that divide it, but none inside a word.

    There is one after every LONGEST_RUN characters or MOST_PARTS words and signs.  Of a run of n
    words and signs hibari looks up every part, in time that grows with n³: two thousand hyphens in
    one request would hold a worker for an hour.
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
    """Return whether a word ends between two characters: at a sign or digit, or in camelCase."""
    both = before.isalpha() and after.isalpha()
    return not both or (before.islower() and after.isupper())
