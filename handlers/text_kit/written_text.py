"""Turns tokens into text while they are written, as far as the text is final."""

from collections.abc import Sequence
from typing import Any

CONTEXT_TOKENS = 5  # of the prompt, decoded as well so that a first token keeps its space
INCOMPLETE = "\ufffd"  # stands for a character whose bytes are incomplete
MOST_INCOMPLETE = 3  # tokens; a character has at most four bytes


class WrittenText:
    """The text of one completion.  It ends before the first of *stops* that occurs in it.

    *text* is the decoded text.  Its first *certain* characters are final; those after them may be
    the beginning of one of *stops*.
    """

    def __init__(self, tokenizer: Any, prompt: Sequence[int], stops: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._ids = list(prompt[-CONTEXT_TOKENS:])
        self._start = 0  # the first of the tokens that are decoded together
        self._read = len(self._ids)  # the number of tokens whose text has been added
        self._incomplete = 0  # consecutive tokens that end in the middle of a character
        self._stops = tuple(stops)
        self.text = ""
        self.certain = 0
        self.stopped = False

    def add(self, token: int) -> None:
        """Add a token."""
        self._ids.append(token)
        text = self._new_text()
        if text.endswith(INCOMPLETE) and self._incomplete < MOST_INCOMPLETE:
            self._incomplete += 1
        else:
            self._incomplete = 0
            self._take(text)

    def finish(self) -> None:
        """Add the text that was held back, as no token follows."""
        if not self.stopped:
            self._take(self._new_text())
            self.certain = len(self.text)

    def _new_text(self) -> str:
        before = self._decoded(self._ids[self._start : self._read])
        return self._decoded(self._ids[self._start :])[len(before) :]

    def _decoded(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return text

    def _take(self, text: str) -> None:
        if text:
            self._start, self._read = self._read, len(self._ids)
        self.text += text
        found = [self.text.find(stop, self.certain) for stop in self._stops]
        ends = [place for place in found if place >= 0]
        if ends:
            self.text = self.text[: min(ends)]
            self.stopped = True
        self.certain = len(self.text) - (0 if self.stopped else self._beginning_of_a_stop())

    def _beginning_of_a_stop(self) -> int:
        """Return how many characters at the end may begin one of the stops."""
        longest = max(map(len, self._stops), default=0)
        for length in range(min(longest - 1, len(self.text)), 0, -1):
            end = self.text[-length:]
            if any(stop.startswith(end) for stop in self._stops):
                return length
        return 0
