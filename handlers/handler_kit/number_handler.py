"""A handler whose outputs are numbers: one row of a tensor per input."""

from collections.abc import Sequence

import torch

from handler_kit.batch_handler import Batch, BatchHandler, Input
from handler_kit.errors import ItemError
from handler_kit.job import Answer
from handler_kit.json_numbers import encode_rows


class NumberHandler(BatchHandler[Input, Batch, torch.Tensor]):
    """`forward` gives float32 or integers on the CPU, [members, …]."""

    def encode(self, outputs: torch.Tensor) -> Sequence[Answer | ItemError]:
        """Each row as nested lists, or as a bare number where it is one."""
        return [
            body if isinstance(body, ItemError) else Answer(body=body)
            for body in encode_rows(outputs)
        ]

    def compared(self, outputs: torch.Tensor) -> list[torch.Tensor]:
        """Each row."""
        return list(outputs.float())
