"""What the sidecar asks of a completion: OpenAI's parameters, checked there already."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Tokens = tuple[Annotated[int, Meta(ge=0)], ...]


class ChatMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One message of a conversation, as chat templates expect it."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str


class CompletionOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A *prompt*, as text or tokens, or the *messages* of a chat, and how to go on.

    *max_tokens* is how many new tokens there are at most: as many as fit where it is null, and no
    more than *cap* then.  *temperature* 0 takes the most probable token; null means the
    checkpoint's own value, as for *top_p*.
    """

    prompt: str | Tokens | None = None
    messages: tuple[ChatMessage, ...] = ()
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    cap: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    stop: tuple[str, ...] = ()
    seed: Annotated[int, Meta(ge=0)] = 0


class CompletionState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which of several completions of one order it is, and the tokens *written* so far."""

    choice: Annotated[int, Meta(ge=0)] = 0
    written: Tokens = ()


class CompletionTurn(msgspec.Struct, frozen=True):
    """What a turn of writing came to: the *tokens* that are new, and the whole *text* so far.

    *finish_reason* null: there is more to write.
    """

    text: str
    tokens: list[int]
    prompt_tokens: int
    finish_reason: Literal["stop", "length"] | None
