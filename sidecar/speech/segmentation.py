"""Where speech is: from the probabilities of 32 ms frames to stretches for the recogniser.

Pure, and fed in pieces.  Speech begins at ENTER and goes on until the probability falls below
LEAVE (hysteresis, as silero-vad's authors advise).  Stretches with short pauses between them
stay together, because a recogniser hears 30 s at the price of one; a stretch that would be
longer is cut where speech is least likely.
"""

from collections.abc import Sequence
from typing import NamedTuple

FRAME_SAMPLES = 512
SAMPLE_RATE = 16000
FRAME_SECONDS = FRAME_SAMPLES / SAMPLE_RATE

ENTER = 0.5
LEAVE = 0.35
LONGEST_FRAMES = int(28 / FRAME_SECONDS)
PAUSE_FRAMES = int(1.2 / FRAME_SECONDS)  # a longer one ends the stretch
CUT_FRAMES = int(8 / FRAME_SECONDS)  # a cut lies within the last of these
PAD_FRAMES = int(0.3 / FRAME_SECONDS)  # kept around a stretch: words begin softly
SHORTEST_FRAMES = int(0.16 / FRAME_SECONDS)  # less speech is a click


class Stretch(NamedTuple):
    """Frames [start, end) that hold speech."""

    start: int
    end: int


class Segmenter:
    """Finds stretches as frames come in."""

    def __init__(self) -> None:
        self._frames = 0  # seen so far
        self._floor = 0  # no stretch begins before: the end of the last one
        self._start: int | None = None
        self._speech_end = 0
        self._speech_frames = 0
        self._speaking = False
        self._probabilities: list[float] = []  # since the start

    @property
    def needed_from(self) -> int:
        """The first frame that a later stretch may hold."""
        first = self._frames if self._start is None else self._start
        return max(first - PAD_FRAMES, self._floor)

    def feed(self, probabilities: Sequence[float]) -> list[Stretch]:
        """Return the stretches that end within the next frames."""
        found: list[Stretch] = []
        for probability in probabilities:
            self._frames += 1
            self._step(probability, found)
        return found

    def finish(self) -> list[Stretch]:
        """Return the stretch that is open when the audio ends, if there is one."""
        found: list[Stretch] = []
        if self._start is not None:
            self._close(min(self._speech_end + PAD_FRAMES, self._frames), found)
        return found

    def _step(self, probability: float, found: list[Stretch]) -> None:
        self._speaking = probability >= (LEAVE if self._speaking else ENTER)
        if self._speaking:
            if self._start is None:
                self._start = self._frames - 1
            self._speech_end = self._frames
            self._speech_frames += 1
        if self._start is None:
            return
        self._probabilities.append(probability)
        if self._frames - self._speech_end > PAUSE_FRAMES:
            self._close(self._speech_end + PAD_FRAMES, found)
        elif self._frames - self._start >= LONGEST_FRAMES:
            self._cut(found)

    def _cut(self, found: list[Stretch]) -> None:
        """End the stretch where speech is least likely; the next begins there."""
        assert self._start is not None
        tail = self._probabilities[-CUT_FRAMES:]
        kept = min(range(len(tail)), key=lambda place: (tail[place], -place)) + 1
        again, upto = tail[kept:], self._frames
        self._close(upto - len(again), found)
        self._frames = upto - len(again)
        found += self.feed(again)

    def _close(self, end: int, found: list[Stretch]) -> None:
        assert self._start is not None
        if self._speech_frames >= SHORTEST_FRAMES:
            found.append(Stretch(max(self._start - PAD_FRAMES, self._floor), end))
            self._floor = end
        self._start = None
        self._speech_frames = 0
        self._speaking = False
        self._probabilities = []
