"""POST /v1/rerank and /v2/rerank: a form that suits both Jina's and Cohere's clients."""

from typing import Annotated

import msgspec
from msgspec import Meta

from sidecar.schemas.openai.embeddings import TokenUsage
from sidecar.schemas.openai.requests import ModelId, OpenAIRequest

Limit = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Query = Annotated[str, Meta(min_length=1, max_length=100_000)]


class GivenText(msgspec.Struct, frozen=True):
    """A text in an object, as some clients send it.  Other fields are ignored."""

    text: Query


class RerankRequest(OpenAIRequest, frozen=True, kw_only=True):
    """Documents to rank by how well they answer a query.

    *documents* is kept as the bytes that the client sent.
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
    top_n: Annotated[
        Limit | None, Meta(description="How many of the best documents to return; null: all")
    ] = None
    return_documents: Annotated[
        bool | None, Meta(description="Return the text of each document; null: false")
    ] = None
    max_tokens_per_doc: Annotated[
        Limit | None,
        Meta(
            description="How many tokens of each document to read; null: as many as the model takes"
        ),
    ] = None

    @property
    def query_text(self) -> str:
        """The query, as a text."""
        return self.query.text if isinstance(self.query, GivenText) else self.query


class RankedText(msgspec.Struct):
    """A document as it was given."""

    text: Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "string"})]


class RankedResult(msgspec.Struct, omit_defaults=True):
    """How well the document at *index* of the request answers the query.

    The score lies between 0 and 1, unless the model returns logits.
    """

    index: int
    relevance_score: float
    document: RankedText | msgspec.UnsetType = msgspec.UNSET


class ReadTokens(msgspec.Struct):
    """The number of tokens that the model read."""

    input_tokens: int


class RerankMeta(msgspec.Struct):
    """The usage, where Cohere's clients look for it."""

    tokens: ReadTokens


class RankedDocuments(msgspec.Struct):
    """The results, best first.  *id* is the request's; the usage counts the query per document."""

    id: str | None
    model: str
    results: list[RankedResult]
    usage: TokenUsage
    meta: RerankMeta
