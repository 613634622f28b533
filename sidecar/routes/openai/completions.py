"""POST /v1/completions and /v1/chat/completions: texts that a model generates."""

import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Annotated, Any, NamedTuple, Protocol

import msgspec
from aiohttp import web
from msgspec import Meta

from sidecar.errors import InvalidFields, InvalidInput
from sidecar.models.model import Model
from sidecar.openai.completion import (
    CompletionCall,
    CompletionMessage,
    CompletionOrder,
    CompletionWriting,
    written_together,
)
from sidecar.routes.inputs import split_inputs
from sidecar.routes.openai.names import NAMES
from sidecar.routes.predict import PARTS
from sidecar.schemas.openai.completions import (
    AnsweredMessage,
    ChatChoice,
    ChatChunkChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChatDelta,
    ChatRequest,
    CompletedText,
    CompletionRequest,
    CompletionUsage,
    TextCompletion,
    WritingRequest,
)
from sidecar.settings import MB, Settings
from sidecar.telemetry.request_id import REQUEST_ID
from sidecar.web.admission import ADMISSION, CALL
from sidecar.web.body import read_json, scheduling_of
from sidecar.web.event_stream import Event, send_events
from sidecar.web.route import Route, json_response

DEFAULT_TOKENS = 16  # OpenAI's default after a prompt; a chat has none
DONE = Event("", b"[DONE]")
ROLES = {"developer": "system"}  # a newer name that chat templates do not know
Tokens = list[Annotated[int, Meta(ge=0, le=2**31 - 1)]]

_completion = msgspec.json.Decoder(CompletionRequest)
_chat = msgspec.json.Decoder(ChatRequest)
_tokens = msgspec.json.Decoder(Tokens)
_encode = msgspec.json.Encoder().encode


class Facts(NamedTuple):
    """The fields that are equal in all chunks of an answer."""

    id: str
    created: int
    model: str


Chunk = TextCompletion | ChatCompletionChunk


class AnswerForm(Protocol):
    """The form of the answer: continued prompts, or messages of a chat."""

    def whole(
        self, facts: Facts, writings: Sequence[CompletionWriting], usage: CompletionUsage
    ) -> Any:
        """Return the answer in one piece."""

    def part(self, facts: Facts, place: int, text: str, *, first: bool) -> Chunk:
        """Return the chunk for the next *text* of the completion at *place*."""

    def end(self, facts: Facts, place: int, writing: CompletionWriting) -> Chunk:
        """Return the chunk that ends the completion at *place*."""

    def usage(self, facts: Facts, usage: CompletionUsage) -> Chunk:
        """Return the chunk with the usage."""


class TextForm:
    """The form of /v1/completions."""

    def whole(
        self, facts: Facts, writings: Sequence[CompletionWriting], usage: CompletionUsage
    ) -> TextCompletion:
        """Return all texts."""
        choices = [
            CompletedText(place, writing.text, writing.finish_reason)
            for place, writing in enumerate(writings)
        ]
        return TextCompletion(*facts, choices, usage)

    def part(self, facts: Facts, place: int, text: str, *, first: bool) -> TextCompletion:
        """Return the next part of a text."""
        del first
        return TextCompletion(*facts, [CompletedText(place, text, None)])

    def end(self, facts: Facts, place: int, writing: CompletionWriting) -> TextCompletion:
        """Return the chunk that says why the text ended."""
        return TextCompletion(*facts, [CompletedText(place, "", writing.finish_reason)])

    def usage(self, facts: Facts, usage: CompletionUsage) -> TextCompletion:
        """Return the usage, without a text."""
        return TextCompletion(*facts, [], usage)


class ChatForm:
    """The form of /v1/chat/completions."""

    def whole(
        self, facts: Facts, writings: Sequence[CompletionWriting], usage: CompletionUsage
    ) -> ChatCompletion:
        """Return all messages."""
        choices = [
            ChatChoice(place, AnsweredMessage(writing.text), writing.finish_reason)
            for place, writing in enumerate(writings)
        ]
        return ChatCompletion(*facts, choices, usage)

    def part(self, facts: Facts, place: int, text: str, *, first: bool) -> ChatCompletionChunk:
        """Return the next part of a message; the first names its role."""
        delta = ChatDelta("assistant" if first else msgspec.UNSET, text)
        return ChatCompletionChunk(*facts, [ChatChunkChoice(place, delta, None)])

    def end(self, facts: Facts, place: int, writing: CompletionWriting) -> ChatCompletionChunk:
        """Return the chunk that says why the message ended."""
        choice = ChatChunkChoice(place, ChatDelta(), writing.finish_reason)
        return ChatCompletionChunk(*facts, [choice])

    def usage(self, facts: Facts, usage: CompletionUsage) -> ChatCompletionChunk:
        """Return the usage, without a message."""
        return ChatCompletionChunk(*facts, [], usage)


async def complete(request: web.Request) -> web.StreamResponse:
    """Continue one or more prompts."""
    admission = request[ADMISSION]
    wanted = await read_json(admission, _completion)
    admission.field_names = {"inputs": "prompt", "model_name": "model"}
    prompts = _prompts(bytes(wanted.prompt), request.app[PARTS].settings.max_inputs)
    orders = [CompletionOrder(prompt=msgspec.Raw(prompt)) for prompt in prompts]
    return await _answer(
        request, wanted, orders, wanted.max_tokens or DEFAULT_TOKENS, TextForm(), "cmpl"
    )


async def chat(request: web.Request) -> web.StreamResponse:
    """Write the next message of a conversation."""
    admission = request[ADMISSION]
    wanted = await read_json(admission, _chat)
    newer = wanted.max_completion_tokens is not None
    admission.field_names = {
        "inputs": "messages",
        "model_name": "model",
        "max_tokens": "max_completion_tokens" if newer else "max_tokens",
    }
    messages = [
        CompletionMessage(ROLES.get(each.role, each.role), each.text) for each in wanted.messages
    ]
    most = wanted.max_completion_tokens if newer else wanted.max_tokens
    order = CompletionOrder(messages=messages)
    return await _answer(request, wanted, [order], most, ChatForm(), "chatcmpl")


def _prompts(raw: bytes, most: int) -> list[bytes]:
    """Return each prompt as JSON: a text, or a list of tokens.  Raises InvalidFields."""
    found, _ = split_inputs(raw, rank=1, limit=most, field="prompt")
    for each in found:
        if each[:1] == b'"':
            continue
        try:
            empty = not _tokens.decode(each)
        except msgspec.ValidationError:
            raise InvalidFields(
                "expected a text, a list of tokens, or a list of texts or of such lists",
                field="prompt",
            ) from None
        if empty:
            raise InvalidFields("must not be empty", field="prompt")
    return [bytes(each) for each in found]


async def _answer(
    request: web.Request,
    wanted: WritingRequest,
    orders: Sequence[CompletionOrder],
    max_tokens: int | None,
    form: AnswerForm,
    kind: str,
) -> web.StreamResponse:
    parts, admission, call = request.app[PARTS], request[ADMISSION], request[CALL]
    count = wanted.n or 1
    call.inputs = len(orders) * count
    cap = _cap(call.inputs, max_tokens, parts.settings)
    model = _model(request, wanted.model)
    await admission.admit_to_model(model.key, wanted.model)
    scheduling = scheduling_of(request, wanted)
    writings = [
        CompletionWriting(
            parts.scheduler,
            CompletionCall(model.key, body, choice, scheduling, bool(wanted.stream)),
        )
        for body in (_body(order, wanted, max_tokens, cap) for order in orders)
        for choice in range(count)
    ]
    facts = Facts(f"{kind}-{REQUEST_ID.get()}", int(time.time()), wanted.model)
    if wanted.stream:
        events = _events(wanted, writings, form, facts)
        response, call.success = await send_events(request, events)
        return response
    async with aclosing(written_together(writings)) as written:
        async for _ in written:
            pass
    call.success = True
    return json_response(form.whole(facts, writings, _usage(writings, count)))


def _cap(completions: int, max_tokens: int | None, settings: Settings) -> int:
    """Return the limit of tokens of each if *max_tokens* is None.  Raises InvalidFields."""
    limit = settings.max_completion_tokens
    if completions > settings.max_inputs:
        raise InvalidFields(
            f"expected at most {settings.max_inputs} completions in a request, got {completions}",
            field="n",
        )
    if completions * (max_tokens or 1) > limit:
        raise InvalidFields(
            f"{completions} completions of {max_tokens or 1} tokens exceed the limit of {limit} "
            "in one request",
            field="max_tokens",
        )
    return limit // completions


def _model(request: web.Request, name: str) -> Model:
    """Return the text generation model *name*.  Raises InvalidInput and ModelNotFound."""
    model = request.app[NAMES].require(name)
    if not model.spec.writes_completions:
        raise InvalidInput(f"{name} is not a text generation model", field="model")
    return model


def _body(
    order: CompletionOrder, wanted: WritingRequest, max_tokens: int | None, cap: int
) -> bytes:
    """Return *order* with its sampling parameters, as JSON: the body of all *n* completions."""
    seed = secrets.randbits(63) if wanted.seed is None else wanted.seed % 2**64
    drawn = wanted.top_p != 0  # with 0, only the most probable token is left
    return _encode(
        msgspec.structs.replace(
            order,
            max_tokens=max_tokens,
            cap=cap,
            temperature=wanted.temperature if drawn else 0.0,
            top_p=wanted.top_p if drawn else None,
            presence_penalty=wanted.presence_penalty or 0.0,
            frequency_penalty=wanted.frequency_penalty or 0.0,
            stop=wanted.stops,
            seed=seed,
        )
    )


async def _events(
    wanted: WritingRequest,
    writings: Sequence[CompletionWriting],
    form: AnswerForm,
    facts: Facts,
) -> AsyncGenerator[Event, None]:
    """Yield the parts as they are written, the end of each text, the requested usage, and DONE."""
    begun: set[int] = set()
    async with aclosing(written_together(writings)) as written:
        async for place, text in written:
            if text is not None or place not in begun:
                first = place not in begun
                begun.add(place)
                yield _event(form.part(facts, place, text or "", first=first), wanted)
            if text is None:
                yield _event(form.end(facts, place, writings[place]), wanted)
    if wanted.tells_usage:
        usage = form.usage(facts, _usage(writings, wanted.n or 1))
        yield Event("", _encode(usage))
    yield DONE


def _event(chunk: Chunk, wanted: WritingRequest) -> Event:
    """Return *chunk* as an event.  If the last chunk has the usage, the others have null there."""
    if wanted.tells_usage:
        chunk.usage = None
    return Event("", _encode(chunk))


def _usage(writings: Sequence[CompletionWriting], count: int) -> CompletionUsage:
    """Return the usage of all texts.  Each prompt has *count* of them and is counted once."""
    read = sum(writing.prompt_tokens for writing in writings[::count])
    written = sum(writing.completion_tokens for writing in writings)
    return CompletionUsage(read, written, read + written)


_writing_route = partial(
    Route,
    "POST",
    statuses=(400, 401, 404, 413, 500, 503, 504),
    credential="optional",
    max_body_bytes=MB,
    placeholders=True,
    measured_as="inference",
)
ROUTES = [
    _writing_route(
        "/v1/chat/completions",
        chat,
        "Generate the next message of a conversation",
        response=ChatCompletion,
        request=ChatRequest,
        example={
            "model": "smollm2_135m",
            "messages": [{"role": "user", "content": "What is the capital of France?"}],
            "max_completion_tokens": 32,
        },
        events=(("", ChatCompletionChunk),),
    ),
    _writing_route(
        "/v1/completions",
        complete,
        "Continue a text",
        response=TextCompletion,
        request=CompletionRequest,
        example={"model": "smollm2_135m", "prompt": "Once upon a time", "max_tokens": 32},
        events=(("", TextCompletion),),
    ),
]
