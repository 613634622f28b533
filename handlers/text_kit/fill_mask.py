"""Fills the mask of a text."""

from collections.abc import Sequence
from typing import Any

import msgspec
import torch

from handler_kit.errors import InvalidInput, LoadError
from text_kit.checkpoint import TextCheckpoint
from text_kit.options import TextOptions
from text_kit.parameters import RankingParameters, parse_parameters
from text_kit.reading_task import EncodedText, ReadingTask
from text_kit.scores import short
from text_kit.token_rows import TokenRow


class Filling(msgspec.Struct, frozen=True):
    """A *token* for the mask, as text, its probability, and the whole text with it."""

    token: str
    score: float
    sequence: str


class FillMask(ReadingTask):
    """Answers `[{token, score, sequence}]`, best first, for a text with one mask token."""

    def __init__(self, checkpoint: TextCheckpoint, options: TextOptions) -> None:
        """Raise LoadError for a tokenizer without a mask token."""
        super().__init__(checkpoint, options)
        if self.tokenizer.mask_token_id is None:
            raise LoadError("task fill_mask: the tokenizer has no mask token")
        self._mask = int(self.tokenizer.mask_token_id)

    def read(self, text: str, parameters: dict[str, Any]) -> EncodedText:
        """Return the tokens.  Raises InvalidInput, also if there is not exactly one mask."""
        asked = parse_parameters(parameters, RankingParameters)
        row = self.row(self.encoded(text))
        masks = list(row.ids).count(self._mask)
        if masks != 1:
            name = self.tokenizer.mask_token
            raise InvalidInput(f"The text must contain {name} exactly once, not {masks} times")
        return EncodedText(text=text, rows=(row,), asked=asked)

    def picked(self, logits: torch.Tensor, row: TokenRow) -> torch.Tensor:
        """Return the logits of the mask, [vocabulary]."""
        return logits[list(row.ids).index(self._mask)]

    def answer(self, question: EncodedText, logits: Sequence[torch.Tensor]) -> list[Filling]:
        """Return the most probable tokens."""
        likely = logits[0].softmax(0)
        scores, tokens = likely.topk(min(question.asked.top_k, len(likely)))
        return [
            Filling(self.tokenizer.decode([token]), score, self._filled(question.rows[0], token))
            for token, score in zip(tokens.tolist(), short(scores), strict=True)
        ]

    def probe(self, text: str) -> tuple[str, dict[str, Any]]:
        """Return *text* with a mask at its end."""
        return f"{text} {self.tokenizer.mask_token}", {}

    def _filled(self, row: TokenRow, token: int) -> str:
        ids = [token if one == self._mask else one for one in row.ids]
        text: str = self.tokenizer.decode(ids, skip_special_tokens=True)
        return text
