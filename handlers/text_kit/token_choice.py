"""Which token comes next: the most probable, or one that is drawn.

Each row draws its own number, from its seed, its choice and how many tokens it has: what is drawn
depends neither on the others of a batch nor on where a job began.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

WORD = 1 << 64


class ChoiceRule(NamedTuple):
    """How one row's tokens are chosen; *temperature* 0: the most probable."""

    temperature: float
    top_p: float
    top_k: int  # 0: among all
    presence_penalty: float
    frequency_penalty: float
    seed: int
    choice: int


def choose(rule: ChoiceRule, logits: torch.Tensor, written: Sequence[int]) -> int:
    """Return the token that follows *written*; *logits* [vocabulary] are in fp32."""
    if written and (rule.presence_penalty or rule.frequency_penalty):
        logits = _penalised(rule, logits, written)
    if rule.temperature == 0:
        return int(logits.argmax())
    probabilities, tokens = _candidates(rule, logits / rule.temperature)
    sums = probabilities.double().cumsum(0)
    place = int(torch.searchsorted(sums, sums[-1] * _draw(rule, len(written)), right=True))
    place = min(place, len(sums) - 1)
    return place if tokens is None else int(tokens[place])


def _penalised(rule: ChoiceRule, logits: torch.Tensor, written: Sequence[int]) -> torch.Tensor:
    """Return *logits*, lowered for tokens that were written: once, and for each time."""
    counts = torch.bincount(torch.tensor(written, device=logits.device), minlength=logits.shape[0])[
        : logits.shape[0]
    ]
    return logits - rule.presence_penalty * (counts > 0) - rule.frequency_penalty * counts


def _candidates(rule: ChoiceRule, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return probabilities, which need not add up to 1, and their tokens; None: all, in order."""
    if 0 < rule.top_k < logits.shape[0]:
        logits, tokens = logits.topk(rule.top_k)
    elif rule.top_p < 1:
        logits, tokens = logits.sort(descending=True)
    else:
        return logits.softmax(0), None
    probabilities = logits.softmax(0)
    if rule.top_p < 1:  # as many of the best as reach it together, at least one
        reached = probabilities.cumsum(0) - probabilities >= rule.top_p
        probabilities = probabilities.masked_fill(reached, 0.0)
    return probabilities, tokens


def _draw(rule: ChoiceRule, place: int) -> float:
    """Return the number from 0 to 1 that decides on the token at *place*."""
    key = rule.choice * WORD + rule.seed % WORD
    return float(np.random.Generator(np.random.Philox(key=key, counter=place)).random())
