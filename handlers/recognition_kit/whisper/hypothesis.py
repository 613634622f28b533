"""What a piece was decoded to, and how probable it is."""

import math
import zlib

import msgspec

MAX_COMPRESSION = 2.4  # above it a text repeats itself (the Whisper paper, 4.5)


class Hypothesis(msgspec.Struct):
    """Tokens without prefix and end, and the log-probability of each; it grows token by token."""

    tokens: list[int] = []
    logprobs: list[float] = []
    end_logprob: float = 0.0
    ended: bool = False

    def say(self, token: int, logprob: float, end: int) -> None:
        """Append *token*; after the token *end* nothing more is appended."""
        if self.ended:
            return
        if token == end:
            self.ended, self.end_logprob = True, logprob
        else:
            self.tokens.append(token)
            self.logprobs.append(logprob)

    def fork(self) -> "Hypothesis":
        """Return a copy that grows on its own."""
        return Hypothesis([*self.tokens], [*self.logprobs], self.end_logprob, self.ended)

    @property
    def mean_logprob(self) -> float:
        """The mean over all tokens and the end, as in ``whisper/decoding.py``."""
        return (sum(self.logprobs) + self.end_logprob) / (len(self.tokens) + 1)

    def text_logprob(self, first_timestamp: int) -> float:
        """Return the mean over the tokens that are not times; −∞ where there are none."""
        spoken = [
            logprob
            for token, logprob in zip(self.tokens, self.logprobs, strict=True)
            if token < first_timestamp
        ]
        return math.fsum(spoken) / len(spoken) if spoken else -math.inf


def compression_ratio(text: str) -> float:
    """Return by what factor zlib shortens *text*."""
    data = text.encode()
    return len(data) / len(zlib.compress(data))
