"""Scores how well a document answers a query, with a cross-encoder that reads both in one row.

Scores are those of sentence-transformers' CrossEncoder with one label.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import torch
from msgspec import Meta

from handler_kit.errors import InvalidInput, LoadError
from handler_kit.text_input import check_text
from text_kit.checkpoint import TextCheckpoint
from text_kit.options import TextOptions
from text_kit.parameters import parse_parameters
from text_kit.reading_task import EncodedText, ReadingTask
from text_kit.scores import short
from text_kit.token_rows import TokenRow

ACTIVATIONS = {"Sigmoid": "sigmoid", "Identity": "identity"}  # by torch's names


class RankedDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The *document* to score for the query, which is the text.

    Only its first *max_document_tokens* are read; null means as many as fit after the query.
    """

    document: str
    max_document_tokens: Annotated[int, Meta(ge=1)] | None = None


class Relevance(msgspec.Struct, frozen=True):
    """The score of the document, and the number of *tokens* read of it and the query."""

    score: float
    tokens: int


class TextRanking(ReadingTask):
    """Answers `{score, tokens}`.  If both texts together are too long, the longer one is cut."""

    def __init__(self, checkpoint: TextCheckpoint, options: TextOptions) -> None:
        """Raise LoadError for a network with several labels or an unknown activation."""
        super().__init__(checkpoint, options)
        if self.config.num_labels != 1:
            raise LoadError(
                "task text_ranking needs a network with one label, "
                f"but this one has {self.config.num_labels}"
            )
        if not self.tokenizer.is_fast:
            raise LoadError("task text_ranking requires a tokenizer.json")
        self._activation = options.activation or _own_activation(self.config)

    def read(self, text: str, parameters: dict[str, Any]) -> EncodedText:
        """Return query and document as one row.  Raises InvalidInput."""
        asked = parse_parameters(parameters, RankedDocument)
        document = asked.document
        check_text(document, self.options.max_characters)
        if asked.max_document_tokens is not None:
            document = self._beginning(document, asked.max_document_tokens)
        if not text.strip():
            raise InvalidInput("The text is empty")
        return EncodedText(text=text, rows=(self._pair(text, document),), asked=asked)

    def answer(self, question: EncodedText, logits: Sequence[torch.Tensor]) -> Relevance:
        """Return the single logit as a score."""
        (logit,) = logits
        score = logit.sigmoid() if self._activation == "sigmoid" else logit
        return Relevance(short(score)[0], len(question.rows[0].ids))

    def probe(self, text: str) -> tuple[str, dict[str, Any]]:
        """Return a short query, with *text* as the document."""
        return "the quick brown fox", {"document": text}

    def details(self) -> dict[str, Any]:
        """Return the largest length of query and document together, and the activation."""
        return {**super().details(), "activation": self._activation}

    def _pair(self, query: str, document: str) -> TokenRow:
        """Return both as one row, as a batch of one: otherwise an empty document counts as none."""
        encoding = self.tokenizer(
            [(query, document)],
            truncation="longest_first",
            max_length=self.checkpoint.longest,
            return_attention_mask=False,
            return_token_type_ids=self._types,
            verbose=False,
        )
        types = encoding.get("token_type_ids")
        return TokenRow(encoding["input_ids"][0], types and types[0])

    def _beginning(self, document: str, tokens: int) -> str:
        """Return the part of *document* that its first *tokens* cover."""
        encoding = self.tokenizer(
            document,
            add_special_tokens=False,
            truncation=True,
            max_length=tokens,
            return_attention_mask=False,
            return_token_type_ids=False,
            return_offsets_mapping=True,
            verbose=False,
        )
        spans = encoding["offset_mapping"]
        return document[: spans[-1][1]] if spans else document


def _own_activation(config: Any) -> str:
    """Return the checkpoint's activation, which sentence-transformers stores in two forms."""
    saved = getattr(config, "sentence_transformers", None) or {}
    said = saved.get("activation_fn") or getattr(
        config, "sbert_ce_default_activation_function", None
    )
    if said is None:
        return "sigmoid"
    name = str(said).rpartition(".")[2]
    if name not in ACTIVATIONS:
        raise LoadError(f"task text_ranking: the activation {said} is not supported")
    return ACTIVATIONS[name]
