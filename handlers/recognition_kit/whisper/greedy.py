"""Greedy decoding of several pieces: the most probable next token, or a sampled one."""

from collections.abc import Sequence

import torch

from recognition_kit.whisper.hypothesis import Hypothesis
from recognition_kit.whisper.logit_filter import LogitFilter
from recognition_kit.whisper.network import DecoderCache, WhisperNetwork


class TokenSampler:
    """Samples with one random stream per piece, so that no piece depends on others in its pass."""

    def __init__(self, seeds: Sequence[int], temperature: float) -> None:
        self.temperature = temperature
        self._streams = [torch.Generator().manual_seed(seed) for seed in seeds]

    def draw(self, logits: torch.Tensor, pieces: Sequence[int]) -> torch.Tensor:
        """Sample a token for each row of *logits* [rows, vocabulary]; row i is of pieces[i]."""
        points = [torch.rand(1, generator=self._streams[piece]).double() for piece in pieces]
        tempered = (logits.cpu().double() / self.temperature).softmax(dim=1)
        summed = tempered.cumsum(dim=1)
        drawn = torch.searchsorted(summed, torch.stack(points) * summed[:, -1:], right=True)
        return drawn[:, 0].clamp(max=logits.shape[1] - 1).to(logits.device)


class GreedyDecoding:
    """One decoding loop.  Ended rows are removed once they are half of all rows."""

    def __init__(
        self,
        network: WhisperNetwork,
        logit_filter: LogitFilter,
        end: int,
        sampler: TokenSampler | None = None,
    ) -> None:
        self._network = network
        self._filter = logit_filter
        self._end = end
        self._sampler = sampler

    def run(self, logits: torch.Tensor, cache: DecoderCache, limit: int) -> list[Hypothesis]:
        """Return each piece's hypothesis, of at most *limit* tokens.

        *logits* [pieces, vocabulary] are those of the first token.
        """
        pieces = list(range(len(logits)))
        found = [Hypothesis() for _ in pieces]
        said = logits.new_empty((len(pieces), limit), dtype=torch.int64)
        for length in range(limit):
            self._filter.apply(logits, said[:, :length])
            chosen = self._choose(logits, pieces)
            scores = logits.log_softmax(dim=1).gather(1, chosen[:, None])[:, 0]
            # Read at once, as each transfer waits for the GPU.  Tokens are exact in float32.
            for piece, (token, score) in zip(
                pieces, torch.stack([chosen.to(scores.dtype), scores], dim=1).tolist(), strict=True
            ):
                found[piece].say(int(token), score, self._end)
            going = [row for row, piece in enumerate(pieces) if not found[piece].ended]
            if not going or length + 1 == limit:
                break
            said[:, length] = chosen
            if len(going) * 2 <= len(pieces):
                rows = torch.tensor(going, device=logits.device)
                cache.keep(rows)
                said, chosen, pieces = said[rows], chosen[rows], [pieces[row] for row in going]
            logits = self._network.logits(self._network.step(chosen[:, None], cache)[:, -1])
        return found

    def _choose(self, logits: torch.Tensor, pieces: Sequence[int]) -> torch.Tensor:
        return logits.argmax(dim=1) if self._sampler is None else self._sampler.draw(logits, pieces)
