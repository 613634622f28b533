"""POST /v1/rerank and /v2/rerank: the form that Jina's and Cohere's clients share."""

from typing import Annotated

import msgspec
from msgspec import Meta

from sidecar.schemas.openai.embeddings import TokenUsage
from sidecar.schemas.openai.requests import ModelId, OpenAIRequest

Limit = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Query = Annotated[str, Meta(min_length=1, max_length=100_000)]


class GivenText(msgspec.Struct, frozen=True):
    """A text in an object, the other way in which clients give one; other fields are ignored."""

    text: Query


class RerankRequest(OpenAIRequest, frozen=True, kw_only=True):
    """Documents to put in the order in which they answer a query.

    *documents* stays the bytes that the client sent.
    """

    model: ModelId
    query: Annotated[Query | GivenText, Meta(examples=["What is the capital of France?"])]
    documents: Annotated[
        msgspec.Raw,
        Meta(
            description="Texts, or objects with the field text",
            extra_json_schema={
                "type": "array",
                "items": {
                    "anyOf": [
                        {"type": "string"},
                        {
                            "type": "object",
                            "required": ["text"],
                            "properties": {"text": {"type": "string"}},
                        },
                    ]
                },
                "minItems": 1,
                "examples": [["Paris is the capital of France.", "It rains in Spain."]],
            },
        ),
    ]
    top_n: Annotated[Limit | None, Meta(description="Only the best; null: all")] = None
    return_documents: Annotated[
        bool | None, Meta(description="Each result has its document's text; null: false")
    ] = None
    max_tokens_per_doc: Annotated[
        Limit | None,
        Meta(description="Only so many tokens of each are read; null: as many as the model takes"),
    ] = None

    @property
    def query_text(self) -> str:
        """The query, in whichever form it came."""
        return self.query.text if isinstance(self.query, GivenText) else self.query


class RankedText(msgspec.Struct):
    """A document as it was given."""

    text: Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "string"})]


class RankedResult(msgspec.Struct, omit_defaults=True):
    """The document at *index* of the request's, and how well it answers the query.

    The score lies between 0 and 1, unless the model's own scores are logits.
    """

    index: int
    relevance_score: float
    document: RankedText | msgspec.UnsetType = msgspec.UNSET


class ReadTokens(msgspec.Struct):
    """How many tokens the model read."""

    input_tokens: int


class RerankMeta(msgspec.Struct):
    """Where Cohere's clients look for the usage."""

    tokens: ReadTokens


class RankedDocuments(msgspec.Struct):
    """The results, best first.  *id* is the request's; the usage counts the query each time."""

    id: str | None
    model: str
    results: list[RankedResult]
    usage: TokenUsage
    meta: RerankMeta
