"""A client's prompt, which precedes the transcript and must not become part of it."""

import re
from collections.abc import Iterator
from difflib import SequenceMatcher

from recognition_kit.whisper.hypothesis import MAX_COMPRESSION, compression_ratio

MIN_ECHO_WORDS = 2
MAX_REPEATED_WORDS = 40  # the longest phrase whose repetition is detected

_WORD = re.compile(r"\w+")


def usable_prompt(prompt: str) -> str:
    """Return the part of *prompt* to put before the transcript; "" if it mostly repeats itself.

    A decoder tends to continue a repetitive prompt, or to take it for speech.
    """
    if compression_ratio(prompt) > MAX_COMPRESSION:
        return ""
    return without_repetitions(prompt)


def without_repetitions(text: str) -> str:
    """Return *text* with every phrase that is repeated several times in a row kept only once."""
    words = text.split()
    keys = [_key(word) for word in words]
    kept: list[int] = []
    for place in range(len(words)):
        kept.append(place)
        longest = min(MAX_REPEATED_WORDS, len(kept) // 2)
        for length in range(1, longest + 1):
            last, before = kept[-length:], kept[-2 * length : -length]
            if [keys[at] for at in last] == [keys[at] for at in before]:
                del kept[-length:]
                break
    return " ".join(words[place] for place in kept)


def is_echo(text: str, prompt: str) -> bool:
    """Return whether *text* consists only of a part of *prompt*, once or repeatedly."""
    said, given = _words(without_repetitions(text)), _words(prompt)
    return len(said) >= MIN_ECHO_WORDS and f" {' '.join(said)} " in f" {' '.join(given)} "


def is_cut(text: str, unprompted: str, prompt: str) -> bool:
    """Return whether *text*, decoded with *prompt*, lacks words because the prompt has them.

    A decoder takes the prompt, and whatever precedes it in the audio, for already transcribed.
    *unprompted* is the decoding without the prompt.  Consecutive words that only it contains were
    dropped if some of them are in the prompt in the same order.
    """
    said, heard, given = _words(text), _words(unprompted), _words(prompt)
    length = min(MIN_ECHO_WORDS, len(given))
    prompted = set(_rows(given, length))
    changes = SequenceMatcher(None, heard, said, autojunk=False).get_opcodes()
    return any(
        change == "delete" and not prompted.isdisjoint(_rows(heard[first:last], length))
        for change, first, last, *_ in changes
    )


def _rows(words: list[str], length: int) -> Iterator[tuple[str, ...]]:
    """Return all runs of *length* consecutive words."""
    return zip(*(words[start:] for start in range(length)), strict=False)


def _key(word: str) -> str:
    return "".join(_words(word)) or word


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
