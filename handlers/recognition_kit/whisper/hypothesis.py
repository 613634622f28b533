"""A decoding of a piece, and how probable it is."""

import math
import zlib

import msgspec

MAX_COMPRESSION = 2.4  # above it, a text repeats itself (section 4.5 of the Whisper paper)


class Hypothesis(msgspec.Struct):
    """Tokens without the prefix and the end, and their log-probabilities.  Grows token by token."""

    tokens: list[int] = []
    logprobs: list[float] = []
    end_logprob: float = 0.0
    ended: bool = False

    def say(self, token: int, logprob: float, end: int) -> None:
        """Append *token*, or mark the hypothesis as ended if it is *end*."""
        if self.ended:
            return
        if token == end:
            self.ended, self.end_logprob = True, logprob
        else:
            self.tokens.append(token)
            self.logprobs.append(logprob)

    def fork(self) -> "Hypothesis":
        """Return a copy that can be extended independently."""
        return Hypothesis([*self.tokens], [*self.logprobs], self.end_logprob, self.ended)

    @property
    def mean_logprob(self) -> float:
        """The mean log-probability of all tokens and the end, as in ``whisper/decoding.py``."""
        return (sum(self.logprobs) + self.end_logprob) / (len(self.tokens) + 1)

    def text_logprob(self, first_timestamp: int) -> float:
        """Return the mean log-probability of the tokens that are not times; −∞ without any."""
        spoken = [
            logprob
            for token, logprob in zip(self.tokens, self.logprobs, strict=True)
            if token < first_timestamp
        ]
        return math.fsum(spoken) / len(spoken) if spoken else -math.inf


def compression_ratio(text: str) -> float:
    """Return the factor by which zlib compresses *text*."""
    data = text.encode()
    return len(data) / len(zlib.compress(data))
