"""Which tokens may come next: Whisper's rules for text and times.

After ``whisper/decoding.py``: `SuppressTokens`, `SuppressBlank` and `ApplyTimestampRules`.
"""

import math

import torch

from recognition_kit.whisper.vocabulary import Vocabulary


class LogitFilter:
    """Excludes tokens by setting their logits to −∞."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        device: torch.device,
        *,
        timestamps: bool,
        suppress_blank: bool,
    ) -> None:
        self._vocabulary = vocabulary
        self._timestamps = timestamps
        self._never = torch.tensor(vocabulary.never, dtype=torch.int64, device=device)
        first = vocabulary.never_first if suppress_blank else ()
        self._never_first = torch.tensor(first, dtype=torch.int64, device=device)

    def apply(self, logits: torch.Tensor, said: torch.Tensor) -> None:
        """Exclude from *logits* [rows, vocabulary] what must not follow *said* [rows, tokens]."""
        logits.index_fill_(1, self._never, -math.inf)
        if said.shape[1] == 0:
            logits.index_fill_(1, self._never_first, -math.inf)
        if self._timestamps:
            self._time(logits, said)
        else:
            logits[:, self._vocabulary.first_timestamp :] = -math.inf

    def _time(self, logits: torch.Tensor, said: torch.Tensor) -> None:
        """Enforce that times come in pairs and never decrease; prefer them if more probable."""
        first = self._vocabulary.first_timestamp
        text, times = logits[:, :first], logits[:, first:]
        if said.shape[1] == 0:
            text.fill_(-math.inf)
            times[:, self._vocabulary.last_first_timestamp + 1 :] = -math.inf
            return
        last_is_time = said[:, -1] >= first
        pair_is_full = last_is_time & (said[:, -2] >= first) if said.shape[1] > 1 else last_is_time
        pair_is_half = last_is_time & ~pair_is_full
        times.masked_fill_(pair_is_full[:, None], -math.inf)
        text[:, : self._vocabulary.end].masked_fill_(pair_is_half[:, None], -math.inf)
        earliest = (
            said.amax(dim=1) - first + (~pair_is_half).long()
        )  # a pair may end at the same time
        at = torch.arange(times.shape[1], device=times.device)
        times.masked_fill_(at < earliest[:, None], -math.inf)
        times_win = times.logsumexp(dim=1) > text.amax(dim=1)
        text.masked_fill_(times_win[:, None], -math.inf)
