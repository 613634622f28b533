"""When each word of an utterance is spoken: from the durations of its symbols."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

SPREAD_SECONDS = 0.025  # half of a vocoder's window: a sound begins and ends softly around its time
# By its durations the network's sounds begin and end later than an aligner hears them within a
# sentence, once the aligner's own offset is taken off: benchmarks/word_times.py.
LATE_SECONDS = 0.02
QUIET = 0.01  # of an utterance's peak: below it nobody speaks
BLOCK_SECONDS = 0.01

CountedWord = tuple[str, int]  # its text, and how many symbols say it, spaces not counted
TimeSpan = tuple[float, float]  # seconds


class SpokenWord(NamedTuple):
    """A word and when it is spoken, in seconds from the beginning of the audio."""

    word: str
    start: float
    end: float

    def later(self, seconds: float) -> "SpokenWord":
        """Return the same word *seconds* later, to the millisecond."""
        return SpokenWord(self.word, round(self.start + seconds, 3), round(self.end + seconds, 3))


def divide_words(pieces: Sequence[str], words: Sequence[CountedWord]) -> list[list[CountedWord]]:
    """Divide a sentence's *words* among its *pieces*; the rest of a cut word has no text."""
    rest = iter(words)
    word: CountedWord | None = None
    shares: list[list[CountedWord]] = []
    for piece in pieces:
        room = len("".join(piece.split()))
        share: list[CountedWord] = []
        while room > 0 and (word := word or next(rest, None)):
            text, count = word
            taken = min(count, room)
            share.append((text, taken))
            room -= taken
            word = ("", count - taken) if taken < count else None
        shares.append(share)
    return shares


def fit_to_sound(
    words: Sequence[SpokenWord], samples: torch.Tensor, sample_rate: int
) -> Iterator[SpokenWord]:
    """Yield *words* with the times at which they are heard in their utterance's *samples*.

    A network attributes the silence before a pause to the last sound before it, a third of a second
    at a sentence's end, so a word begins and ends where it is loud enough.
    """
    block = round(BLOCK_SECONDS * sample_rate)
    count = len(samples) // block
    loudest = samples[: count * block].view(count, block).abs().amax(1)
    loud = (loudest > QUIET * loudest.amax() if count else loudest > 0).tolist()
    words = [each.later(-min(LATE_SECONDS, each.start)) for each in words]
    for place, word in enumerate(words):
        before = words[place - 1].end if place else 0.0
        after = words[place + 1].start if place + 1 < len(words) else len(samples) / sample_rate
        start = word.start - min(SPREAD_SECONDS, max(word.start - before, 0) / 2)
        end = word.end + min(SPREAD_SECONDS, max(after - word.end, 0) / 2)
        first, last = _loud(loud, word)
        if first is not None and last is not None:
            while loud[first] and first * BLOCK_SECONDS > start:
                first = max(first - 1, 0)
            while loud[last] and (last + 1) * BLOCK_SECONDS < end and last + 1 < count:
                last += 1
            start = max(start, first * BLOCK_SECONDS)
            end = min(end, (last + 1) * BLOCK_SECONDS)
        yield SpokenWord(word.word, start, end)


def _loud(loud: Sequence[bool], word: SpokenWord) -> tuple[int | None, int | None]:
    """Return the first and the last loud block of *word*'s own time."""
    begin, end = int(word.start / BLOCK_SECONDS), int(word.end / BLOCK_SECONDS)
    own = [place for place in range(begin, min(end, len(loud))) if loud[place]]
    return (own[0], own[-1]) if own else (None, None)


def time_words(
    symbols: str, words: Sequence[CountedWord], spans: Sequence[TimeSpan]
) -> Iterator[SpokenWord]:
    """Yield the *words* of one utterance with their times; *spans* are those of its *symbols*.

    A word lasts from its first sound to its last: the pause of a comma does not belong to it.
    """
    said = [each for each in zip(symbols, spans, strict=True) if not each[0].isspace()]
    place = 0
    for text, count in words:
        own = [span for symbol, span in said[place : place + count] if symbol.isalpha()]
        place += count
        if text and own:
            yield SpokenWord(text, own[0][0], own[-1][1])
