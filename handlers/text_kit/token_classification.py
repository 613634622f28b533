"""Classifies the words of a text: names of people and places, parts of speech."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import msgspec
import torch

from handler_kit.errors import LoadError
from text_kit.checkpoint import TextCheckpoint
from text_kit.options import TextOptions
from text_kit.parameters import parse_parameters
from text_kit.reading_task import EncodedText, ReadingTask
from text_kit.scores import short
from text_kit.token_rows import TokenRow

OUTSIDE = "O"  # the label of a token outside any entity


class Entity(msgspec.Struct, frozen=True, kw_only=True):
    """An entity.  *start* and *end*, exclusive, are character positions in the text."""

    entity: str
    score: float
    word: str
    start: int
    end: int


class TaggingParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """*aggregation* "simple" joins adjacent tokens into entities, "none" answers each token."""

    aggregation: Literal["none", "simple"] = "none"


class EncodedTextWithSpans(EncodedText, frozen=True, kw_only=True):
    """A text with the position of each token in it, and whether the tokenizer added the token."""

    spans: Sequence[tuple[int, int]]
    added: Sequence[int]


class TokenClassification(ReadingTask):
    """Answers `[{entity, score, word, start, end}]`, in the text's order."""

    def __init__(self, checkpoint: TextCheckpoint, options: TextOptions) -> None:
        """Raise LoadError for a tokenizer that does not report the positions of its tokens."""
        super().__init__(checkpoint, options)
        if not self.tokenizer.is_fast:
            raise LoadError("task token_classification requires a tokenizer.json")

    def read(self, text: str, parameters: dict[str, Any]) -> EncodedTextWithSpans:
        """Return the tokens and their positions.  Raises InvalidInput."""
        asked = parse_parameters(parameters, TaggingParameters)
        encoding = self.encoded(text, return_offsets_mapping=True, return_special_tokens_mask=True)
        return EncodedTextWithSpans(
            text=text,
            rows=(self.row(encoding),),
            asked=asked,
            spans=encoding["offset_mapping"],
            added=encoding["special_tokens_mask"],
        )

    def picked(self, logits: torch.Tensor, row: TokenRow) -> torch.Tensor:
        """Return the logits without the padding, [tokens, labels]."""
        return logits[: len(row.ids)]

    def answer(self, question: EncodedText, logits: Sequence[torch.Tensor]) -> list[Entity]:
        """Return the entities, without the tokens outside any."""
        assert isinstance(question, EncodedTextWithSpans)
        tokens = self._tokens(question, logits[0])
        if question.asked.aggregation == "simple":
            tokens = list(together(tokens, self.tokenizer.convert_tokens_to_string))
        return [token for token in tokens if token.entity != OUTSIDE]

    def _tokens(self, question: EncodedTextWithSpans, logits: torch.Tensor) -> list[Entity]:
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


def together(tokens: Sequence[Entity], joined: Callable[[list[str]], str]) -> Iterator[Entity]:
    """Yield adjacent tokens of one tag as one entity, like transformers' strategy "simple".

    B- begins a new entity; I- and labels without a prefix continue it.  The score is the mean.
    """
    group: list[Entity] = []
    for token in tokens:
        if group and (_begins(token) or _tag(token) != _tag(group[-1])):
            yield _merged(group, joined)
            group = []
        group.append(token)
    if group:
        yield _merged(group, joined)


def _merged(group: list[Entity], joined: Callable[[list[str]], str]) -> Entity:
    return Entity(
        entity=group[0].entity.split("-", 1)[-1],
        score=short(torch.tensor([token.score for token in group]).mean(0, keepdim=True))[0],
        word=joined([token.word for token in group]),
        start=group[0].start,
        end=group[-1].end,
    )


def _begins(token: Entity) -> bool:
    return token.entity.startswith("B-")


def _tag(token: Entity) -> str:
    return token.entity[2:] if token.entity.startswith(("B-", "I-")) else token.entity
