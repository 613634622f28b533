"""A model that does what its first number says: the faults of the fault tests."""

import os
import signal
import time

import torch
from torch import nn

FINE, CRASH, HANG, EXHAUST, FLOOD, RAISE, LINGER = range(7)
LINGER_SECONDS = 0.3
HUGE_ANSWER = 2_000_000  # numbers


class FaultyModel(nn.Module):
    """[n, 4] to [n, 1]: the sum of the last three numbers, or what the first orders."""

    def __init__(self, *, hangs: bool = False) -> None:
        super().__init__()
        if hangs:
            time.sleep(3600)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        orders = set(inputs[:, 0].int().tolist())
        if CRASH in orders:
            os.kill(os.getpid(), signal.SIGSEGV)
        if HANG in orders:
            time.sleep(3600)
        if LINGER in orders:
            time.sleep(LINGER_SECONDS)
        if EXHAUST in orders:
            torch.empty(2**50)
        if RAISE in orders:
            raise ValueError("as it was told")
        if FLOOD in orders:
            if len(inputs) > 1:
                raise ValueError("only alone: the others' answers are short")
            return torch.zeros(1, HUGE_ANSWER)
        return inputs[:, 1:].sum(1, keepdim=True) * self.scale
