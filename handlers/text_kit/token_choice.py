"""Chooses the next token: the most probable, or a sampled one.

Each row has its own random number, derived from its seed, its choice and its number of tokens.  So
a sample depends neither on the other rows of a batch nor on where a job began.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

WORD = 1 << 64


class ChoiceRule(NamedTuple):
    """How the tokens of a row are chosen.  *temperature* 0 selects the most probable."""

    temperature: float
    top_p: float
    top_k: int  # 0: no limit
    presence_penalty: float
    frequency_penalty: float
    seed: int
    choice: int


def choose(rule: ChoiceRule, logits: torch.Tensor, written: Sequence[int]) -> int:
    """Return the token that follows *written*.  *logits* [vocabulary] are in fp32."""
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
    """Return *logits* with the presence and frequency penalties for tokens already written."""
    counts = torch.bincount(torch.tensor(written, device=logits.device), minlength=logits.shape[0])[
        : logits.shape[0]
    ]
    return logits - rule.presence_penalty * (counts > 0) - rule.frequency_penalty * counts


def _candidates(rule: ChoiceRule, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return unnormalised probabilities and their tokens, or None for all tokens in order."""
    if 0 < rule.top_k < logits.shape[0]:
        logits, tokens = logits.topk(rule.top_k)
    elif rule.top_p < 1:
        logits, tokens = logits.sort(descending=True)
    else:
        return logits.softmax(0), None
    probabilities = logits.softmax(0)
    if rule.top_p < 1:  # keep the most probable that reach it together, at least one
        reached = probabilities.cumsum(0) - probabilities >= rule.top_p
        probabilities = probabilities.masked_fill(reached, 0.0)
    return probabilities, tokens


def _draw(rule: ChoiceRule, place: int) -> float:
    """Return the random number from 0 to 1 for the token at *place*."""
    key = rule.choice * WORD + rule.seed % WORD
    return float(np.random.Generator(np.random.Philox(key=key, counter=place)).random())
