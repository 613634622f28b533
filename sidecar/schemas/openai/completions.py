"""POST /v1/completions and /v1/chat/completions."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from sidecar.errors import FieldError
from sidecar.schemas.openai.requests import ModelId, OpenAIRequest

FinishReason = Literal["stop", "length"]
TokenCount = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
StopString = Annotated[str, Meta(min_length=1, max_length=1000)]
MOST_STOPS = 4


class StreamOptions(msgspec.Struct, frozen=True):
    """What a stream contains besides the text."""

    include_usage: Annotated[bool, Meta(description="Send the usage in a last chunk")] = False


class WritingRequest(OpenAIRequest, frozen=True, kw_only=True):
    """The fields of both kinds of completions.  Null means the same as omitting a field."""

    # OpenAI's fields that are not supported, with the values that are accepted: they ask for
    # nothing.
    unsupported: ClassVar[Mapping[str, tuple[Any, ...]]] = MappingProxyType({})

    model: ModelId
    max_tokens: Annotated[TokenCount | None, Meta(description="Maximum of new tokens")] = None
    temperature: Annotated[
        Annotated[float, Meta(ge=0, le=2)] | None,
        Meta(description="0: always the most probable token; null: the checkpoint's own, else 1"),
    ] = None
    top_p: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | None,
        Meta(description="Sample from the most probable tokens whose probabilities reach this sum"),
    ] = None
    n: Annotated[
        Annotated[int, Meta(ge=1, le=128)] | None, Meta(description="Completions of each prompt")
    ] = None
    stop: Annotated[
        StopString | Annotated[list[StopString], Meta(max_length=MOST_STOPS)] | None,
        Meta(description="End the text before any of these"),
    ] = None
    seed: Annotated[
        Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None,
        Meta(description="The same seed draws the same text; null: another each time"),
    ] = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    stream: Annotated[bool | None, Meta(description="As server-sent events")] = None
    stream_options: StreamOptions | None = None
    logit_bias: Any = None

    def __post_init__(self) -> None:
        if self.stream_options is not None and not self.stream:
            raise FieldError("stream_options", "requires stream")
        for name, neutral in self.unsupported.items():
            if getattr(self, name) not in neutral:
                raise FieldError(name, "is not supported; leave it out")

    @property
    def stops(self) -> list[str]:
        """The stop strings, as a list."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def tells_usage(self) -> bool:
        """Whether the stream ends with the usage."""
        return self.stream_options is not None and self.stream_options.include_usage


class CompletionRequest(WritingRequest, frozen=True, kw_only=True):
    """Prompts to continue.  *prompt* is kept as the bytes that the client sent."""

    unsupported: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "logit_bias": (None, {}),
        "logprobs": (None,),
        "echo": (None, False),
        "best_of": (None, 1),
        "suffix": (None, ""),
    }

    prompt: Annotated[
        msgspec.Raw,
        Meta(
            description="A text, a list of texts, a list of tokens, or a list of such lists",
            extra_json_schema={
                "type": ["string", "array"],
                "minItems": 1,
                "anyOf": [
                    {"items": {"type": "string"}},
                    {"items": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}},
                    {
                        "items": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
                        }
                    },
                ],
                "examples": ["Once upon a time"],
            },
        ),
    ]
    max_tokens: Annotated[
        TokenCount | None, Meta(description="Maximum of new tokens; null: 16")
    ] = None
    logprobs: Any = None
    echo: Any = None
    best_of: Any = None
    suffix: Any = None


class MessagePart(msgspec.Struct, frozen=True):
    """A part of a message.  Only text is supported, not images and audio."""

    type: Literal["text"]
    text: str


class ChatMessage(msgspec.Struct, frozen=True):
    """One message; its other fields are ignored."""

    role: Literal["developer", "system", "user", "assistant", "tool"]
    content: str | list[MessagePart]

    @property
    def text(self) -> str:
        """The content, as one text."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content)


class ChatRequest(WritingRequest, frozen=True, kw_only=True):
    """A conversation whose next message is to be written."""

    unsupported: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "logit_bias": (None, {}),
        "logprobs": (None, False),
        "top_logprobs": (None,),
        "tools": (None, []),
        "tool_choice": (None, "none", "auto"),
        "functions": (None, []),
        "function_call": (None, "none", "auto"),
        "response_format": (None, {"type": "text"}),
        "modalities": (None, ["text"]),
        "audio": (None,),
    }

    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
    max_completion_tokens: Annotated[
        TokenCount | None,
        Meta(description="The newer name of max_tokens; if both are null: as many as fit"),
    ] = None
    logprobs: Any = None
    top_logprobs: Any = None
    tools: Any = None
    tool_choice: Any = None
    functions: Any = None
    function_call: Any = None
    response_format: Any = None
    modalities: Any = None
    audio: Any = None


class CompletionUsage(msgspec.Struct):
    """The number of tokens read, each prompt counted once, and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class CompletedText(msgspec.Struct):
    """A continued prompt, or the next part of it.  *logprobs* is always null."""

    index: int
    text: str
    finish_reason: FinishReason | None
    logprobs: None = None


class TextCompletion(msgspec.Struct):
    """The whole answer, or a chunk of it."""

    id: str
    created: int
    model: str
    choices: list[CompletedText]
    usage: CompletionUsage | msgspec.UnsetType | None = msgspec.UNSET
    object: Literal["text_completion"] = "text_completion"


class AnsweredMessage(msgspec.Struct):
    """A message written by the model."""

    content: str
    role: Literal["assistant"] = "assistant"
    refusal: None = None


class ChatChoice(msgspec.Struct):
    """One answer of several."""

    index: int
    message: AnsweredMessage
    finish_reason: FinishReason | None
    logprobs: None = None


class ChatCompletion(msgspec.Struct):
    """The answers to a chat."""

    id: str
    created: int
    model: str
    choices: list[ChatChoice]
    usage: CompletionUsage
    object: Literal["chat.completion"] = "chat.completion"


class ChatDelta(msgspec.Struct, omit_defaults=True):
    """The part that a chunk adds to a message."""

    role: Literal["assistant"] | msgspec.UnsetType = msgspec.UNSET
    content: str | msgspec.UnsetType = msgspec.UNSET


class ChatChunkChoice(msgspec.Struct):
    """The next part of one answer."""

    index: int
    delta: ChatDelta
    finish_reason: FinishReason | None
    logprobs: None = None


class ChatCompletionChunk(msgspec.Struct):
    """The next part of the answers.  The chunk with the usage has no choices."""

    id: str
    created: int
    model: str
    choices: list[ChatChunkChoice]
    usage: CompletionUsage | msgspec.UnsetType | None = msgspec.UNSET
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
