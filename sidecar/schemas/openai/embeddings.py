"""POST /v1/embeddings."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from sidecar.schemas.openai.requests import ModelId, OpenAIRequest


class EmbeddingsRequest(OpenAIRequest, frozen=True, kw_only=True):
    """Texts to turn into vectors.  *input* is kept as the bytes that the client sent."""

    model: ModelId
    input: Annotated[
        msgspec.Raw,
        Meta(
            description="A text, or a list of texts",
            extra_json_schema={
                "type": ["string", "array"],
                "items": {"type": "string"},
                "minItems": 1,
                "examples": ["The quick brown fox"],
            },
        ),
    ]
    encoding_format: Annotated[
        Literal["float", "base64"] | None,
        Meta(description="base64: little-endian 32-bit floats; null: float"),
    ] = None
    dimensions: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(
            description="How many numbers of each vector to keep; it is scaled to its former length"
        ),
    ] = None


class TextEmbedding(msgspec.Struct):
    """The vector of the text at *index*: numbers, or base64."""

    object: Literal["embedding"]
    index: int
    embedding: Annotated[
        msgspec.Raw,
        Meta(extra_json_schema={"type": ["array", "string"], "items": {"type": "number"}}),
    ]


class TokenUsage(msgspec.Struct):
    """The number of tokens that the model read."""

    prompt_tokens: int
    total_tokens: int


class Embeddings(msgspec.Struct):
    """One vector for each text, in order."""

    object: Literal["list"]
    data: list[TextEmbedding]
    model: str
    usage: TokenUsage
