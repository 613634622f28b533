"""What a text's words are: names of people and places, parts of speech."""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import torch

from handler_kit.errors import LoadError
from text_kit.checkpoint import Checkpoint
from text_kit.entities import OUTSIDE, Entity, together
from text_kit.options import TextOptions
from text_kit.parameters import parse_parameters
from text_kit.reader import Question, Reader
from text_kit.row import Row
from text_kit.scores import short


class TaggingParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """*aggregation* "simple" makes one entity of neighbours, "none" leaves each token alone."""

    aggregation: Literal["none", "simple"] = "none"


class TaggedQuestion(Question, frozen=True, kw_only=True):
    """Where each token lies in the text, and whether it is one that the tokenizer added."""

    spans: Sequence[tuple[int, int]]
    added: Sequence[int]


class TokenClassification(Reader):
    """Answers `[{entity, score, word, start, end}]`, in the text's order."""

    def __init__(self, checkpoint: Checkpoint, options: TextOptions) -> None:
        """Raises LoadError for a tokenizer that does not tell where its tokens lie."""
        super().__init__(checkpoint, options)
        if not self.tokenizer.is_fast:
            raise LoadError("task token_classification needs a tokenizer.json")

    def read(self, text: str, parameters: dict[str, Any]) -> TaggedQuestion:
        """Raises InvalidInput."""
        asked = parse_parameters(parameters, TaggingParameters)
        encoding = self.encoded(text, return_offsets_mapping=True, return_special_tokens_mask=True)
        return TaggedQuestion(
            text=text,
            rows=(self.row(encoding),),
            asked=asked,
            spans=encoding["offset_mapping"],
            added=encoding["special_tokens_mask"],
        )

    def picked(self, logits: torch.Tensor, row: Row) -> torch.Tensor:
        """Without the padding, [tokens, labels]."""
        return logits[: len(row.ids)]

    def answer(self, question: Question, logits: Sequence[torch.Tensor]) -> list[Entity]:
        """Entities, but for those that are none."""
        assert isinstance(question, TaggedQuestion)
        tokens = self._tokens(question, logits[0])
        if question.asked.aggregation == "simple":
            tokens = list(together(tokens, self.tokenizer.convert_tokens_to_string))
        return [token for token in tokens if token.entity != OUTSIDE]

    def _tokens(self, question: TaggedQuestion, logits: torch.Tensor) -> list[Entity]:
        scores, labels = logits.softmax(1).max(1)
        ids = question.rows[0].ids
        words = self.tokenizer.convert_ids_to_tokens(ids)
        return [
            Entity(
                entity=self.config.id2label[label],
                score=score,
                word=question.text[start:end] if one == self.tokenizer.unk_token_id else word,
                start=start,
                end=end,
            )
            for one, word, (start, end), added, label, score in zip(
                ids,
                words,
                question.spans,
                question.added,
                labels.tolist(),
                short(scores),
                strict=True,
            )
            if not added
        ]
