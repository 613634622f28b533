"""The sidecar's request for a completion, with OpenAI's parameters, which it has checked."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Tokens = tuple[Annotated[int, Meta(ge=0)], ...]


class ChatMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One message of a conversation, in the form that chat templates expect."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str


class CompletionOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A *prompt*, as text or tokens, or the *messages* of a chat, and how to continue it.

    *max_tokens* limits the new tokens.  If it is null, as many as fit are written, but at most
    *cap*.  *temperature* 0 selects the most probable token.  For *temperature* and *top_p*, null
    stands for the checkpoint's value.
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
    """The index of a completion among several of one order, and its tokens *written* so far."""

    choice: Annotated[int, Meta(ge=0)] = 0
    written: Tokens = ()


class CompletionTurn(msgspec.Struct, frozen=True):
    """The result of a turn: its new *tokens*, and the whole *text* so far.

    With *finish_reason* null, the text has not ended.
    """

    text: str
    tokens: list[int]
    prompt_tokens: int
    finish_reason: Literal["stop", "length"] | None
