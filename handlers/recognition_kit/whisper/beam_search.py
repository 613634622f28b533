"""Beam search: extends several hypotheses per piece at once (``whisper/decoding.py``)."""

import math

import torch

from recognition_kit.whisper.hypothesis import Hypothesis
from recognition_kit.whisper.logit_filter import LogitFilter
from recognition_kit.whisper.network import DecoderCache, WhisperNetwork


class BeamSearch:
    """Keeps the *width* best hypotheses of every piece until that many have ended."""

    def __init__(
        self, network: WhisperNetwork, logit_filter: LogitFilter, end: int, width: int
    ) -> None:
        self._network = network
        self._filter = logit_filter
        self._end = end
        self.width = width

    def run(self, logits: torch.Tensor, cache: DecoderCache, limit: int) -> list[Hypothesis]:
        """Return each piece's best hypothesis, of at most *limit* tokens.

        *logits* [pieces, vocabulary] are those of the first token.  *cache* has `width` equal rows
        per piece.
        """
        beams = [_Beam(self.width) for _ in logits]
        logits = logits.repeat_interleave(self.width, dim=0)
        said = logits.new_empty((len(logits), 0), dtype=torch.int64)
        for length in range(limit):
            self._filter.apply(logits, said)
            rows, tokens = self._advance(beams, logits.log_softmax(dim=1))
            if all(beam.is_full for beam in beams) or length + 1 == limit:
                break
            cache.reorder(rows)
            said = torch.cat([said[rows], tokens[:, None]], dim=1)
            logits = self._network.logits(self._network.step(tokens[:, None], cache)[:, -1])
        return [beam.best for beam in beams]

    def _advance(
        self, beams: list["_Beam"], logprobs: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the rows to extend, [rows], and the token to extend each with, [rows]."""
        vocabulary, device = logprobs.shape[1], logprobs.device
        sums = torch.tensor([beam.sums for beam in beams], device=device).flatten()
        totals = (logprobs + sums[:, None]).view(len(beams), -1)
        best = totals.topk(2 * self.width, dim=1)  # at least one other than the end for each
        picked = logprobs.view(len(beams), -1).gather(1, best.indices)
        # Read at once, as each transfer waits for the GPU.  Indices are too large for float32.
        both = torch.stack([best.indices.double(), picked.double()], dim=1).tolist()
        rows, tokens = [], []
        for number, beam in enumerate(beams):
            candidates = [
                (int(place) // vocabulary, int(place) % vocabulary, score)
                for place, score in zip(*both[number], strict=True)
            ]
            for place, token in beam.advance(candidates, self._end):
                rows.append(number * self.width + place)
                tokens.append(token)
        return torch.tensor(rows, device=device), torch.tensor(tokens, device=device)


class _Beam:
    """The hypotheses of one piece: those to extend, and those that have ended."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.going = [Hypothesis() for _ in range(width)]
        self.sums = [0.0] + [-math.inf] * (width - 1)  # at first all are equal: extend only one
        self.ended: list[Hypothesis] = []

    @property
    def is_full(self) -> bool:
        return len(self.ended) >= self.width

    @property
    def best(self) -> Hypothesis:
        """The most probable per token; unfinished ones count only if too few have ended."""
        return max(
            self.ended if self.is_full else [*self.ended, *self.going],
            key=lambda hypothesis: hypothesis.mean_logprob,
        )

    def advance(self, candidates: list[tuple[int, int, float]], end: int) -> list[tuple[int, int]]:
        """Extend by *candidates*, best first.  Return the indices and tokens that are kept.

        A candidate is the index of a hypothesis, the next token and its log-probability.
        """
        going, sums, kept = [], [], []
        for place, token, logprob in candidates:
            hypothesis = self.going[place].fork()
            hypothesis.say(token, logprob, end)
            if hypothesis.ended:
                if not self.is_full and self.sums[place] + logprob > -math.inf:
                    self.ended.append(hypothesis)
                continue
            going.append(hypothesis)
            sums.append(self.sums[place] + logprob)
            kept.append((place, token))
            if len(kept) == self.width:
                break
        self.going, self.sums = going, sums
        return kept
