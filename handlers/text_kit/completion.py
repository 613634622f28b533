"""Completions for OpenAI's API: written in turns, and sent token by token.

A turn ends after a limited time, whether the texts have ended or not.  The sidecar then requests
another turn with the tokens written so far.  So waiting requests can join, a client that has left
costs no more than a turn, and no job is long.  `generate` of transformers runs the network.  The
next token and the end of a text are decided here for each row, so that completions with different
parameters share a pass.
"""

import time
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import torch
from jinja2 import TemplateError
from transformers import LogitsProcessor, StoppingCriteria

from handler_kit.errors import InvalidInput
from handler_kit.json_numbers import parse
from handler_kit.pieces import PieceSender, TextPiece
from handler_kit.text_batching import PassSize, cut
from handler_kit.text_input import check_text
from text_kit.checkpoint import TextCheckpoint
from text_kit.completion_order import CompletionOrder, CompletionState, CompletionTurn
from text_kit.generation_settings import GenerationDefaults, GenerationParameters
from text_kit.options import TextOptions
from text_kit.task import TaskOutput
from text_kit.token_choice import ChoiceRule, choose
from text_kit.token_rows import TokenRow, padded
from text_kit.written_text import WrittenText

PREFILLS_PER_TURN = 2  # a turn lasts at least so many times as long as reading the prompts


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """One completion and the tokens written so far.  *most* is its largest number of new tokens."""

    item: str
    pieces: PieceSender
    ids: Sequence[int]
    written: Sequence[int]
    stop: Sequence[str]
    most: int
    rule: ChoiceRule


class Completions:
    """Reads orders for completions, and writes completions for one turn."""

    def __init__(
        self,
        checkpoint: TextCheckpoint,
        options: TextOptions,
        defaults: GenerationDefaults,
        ends: frozenset[int],
    ) -> None:
        self._checkpoint = checkpoint
        self._tokenizer = checkpoint.tokenizer
        self._options = options
        self._defaults = defaults
        self._ends = ends

    def read(
        self, item: str, body: bytes, parameters: dict[str, Any], pieces: PieceSender
    ) -> Completion:
        """Return the completion that *body* orders.  *parameters* have the tokens written so far.

        Raises InvalidInput naming the field.
        """
        try:
            order = msgspec.convert(parse(body), CompletionOrder)
            state = msgspec.convert(parameters, CompletionState)
        except msgspec.ValidationError as exc:
            raise InvalidInput(f"The completion cannot be read: {exc}") from exc
        ids = self._ids(order)
        own = self._checkpoint.network.generation_config
        return Completion(
            item=item,
            pieces=pieces,
            ids=ids,
            written=state.written,
            stop=order.stop,
            most=self._most(order, ids),
            rule=ChoiceRule(
                temperature=_first(order.temperature, own.temperature, 1.0),
                top_p=_first(order.top_p, own.top_p, 1.0),
                top_k=own.top_k or 0,
                presence_penalty=order.presence_penalty,
                frequency_penalty=order.frequency_penalty,
                seed=order.seed,
                choice=state.choice,
            ),
        )

    def plan(self, inputs: Sequence[Completion]) -> list[list[int]]:
        """Return groups of similar lengths, in passes of at most `max_pass_tokens`."""
        sizes = [PassSize(len(one.ids) + one.most) for one in inputs]
        return cut(sizes, self._options.max_pass_tokens, padded=True)

    def run(self, inputs: Sequence[Completion]) -> TaskOutput:
        """Write for one turn.  Pieces are sent meanwhile."""
        rows = [_Row(one, self._tokenizer, self._ends) for one in inputs]
        pad = self._tokenizer.pad_token_id
        left = max(one.most - len(one.written) for one in inputs)
        asked = GenerationParameters(max_new_tokens=left, min_new_tokens=0, num_beams=1)
        batch = padded(
            [TokenRow([*one.ids, *one.written]) for one in inputs],
            pad,
            self._checkpoint.device,
            left=True,
        )
        self._checkpoint.network.generate(
            **batch,
            generation_config=self._defaults.config(
                self._defaults.settings(asked, left), pad, logits=False
            ),
            logits_processor=[_Chooser(rows, pad)],
            stopping_criteria=[_Turn(rows, self._options.turn_seconds)],
        )
        return TaskOutput([row.answer() for row in rows], [torch.empty(0)] * len(rows))

    def details(self) -> dict[str, Any]:
        """Return whether the checkpoint supports chats."""
        return {"chat": self._tokenizer.chat_template is not None}

    def _ids(self, order: CompletionOrder) -> Sequence[int]:
        field = "messages" if order.prompt is None else "prompt"
        try:
            ids = self._tokens_of(order)
            self._checkpoint.check_length(ids)
        except InvalidInput as exc:
            raise InvalidInput(exc.rule or str(exc), field=field) from exc
        return ids

    def _tokens_of(self, order: CompletionOrder) -> Sequence[int]:
        if isinstance(order.prompt, tuple):
            known = self._checkpoint.network.get_input_embeddings().num_embeddings
            if any(token >= known for token in order.prompt):
                raise InvalidInput(f"Tokens must be at most {known - 1}, the last one of the model")
            return order.prompt
        text = self._conversation(order) if order.prompt is None else order.prompt
        check_text(text, self._options.max_characters)
        ids: Sequence[int] = self._tokenizer(
            text,
            add_special_tokens=order.prompt is not None,  # a chat template adds its own
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )["input_ids"]
        return ids

    def _conversation(self, order: CompletionOrder) -> str:
        """Return the messages in the form that the checkpoint was trained on."""
        if self._tokenizer.chat_template is None:
            raise InvalidInput("This model has no chat template; it can only continue texts")
        messages = [msgspec.to_builtins(message) for message in order.messages]
        for message in messages:
            check_text(message["content"], self._options.max_characters)
        try:
            text: str = self._tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
        except TemplateError as exc:
            raise InvalidInput(f"The model's chat template refuses these messages: {exc}") from exc
        return text

    def _most(self, order: CompletionOrder, ids: Sequence[int]) -> int:
        room, limit = self._checkpoint.longest - len(ids), self._options.max_new_tokens
        if order.max_tokens is None:
            if room < 1:
                raise InvalidInput(
                    f"{len(ids)} tokens leave no room to write: the model's limit is "
                    f"{self._checkpoint.longest} in total",
                    field="messages" if order.prompt is None else "prompt",
                )
            return min(room, limit, order.cap or limit)
        if order.max_tokens > limit:
            raise InvalidInput(
                f"must be at most {limit}, not {order.max_tokens}", field="max_tokens"
            )
        if order.max_tokens > room:
            raise InvalidInput(
                f"must be at most {room} after {len(ids)} tokens, not {order.max_tokens}",
                field="max_tokens",
            )
        return order.max_tokens


class _Row:
    """One completion while it is being written."""

    def __init__(self, completion: Completion, tokenizer: Any, ends: frozenset[int]) -> None:
        self._completion = completion
        self._ends = ends
        self._text = WrittenText(tokenizer, completion.ids, completion.stop)
        for token in completion.written:
            self._text.add(token)
        self._shown = self._text.certain
        self._tokens: list[int] = []
        self._finish: Literal["stop", "length"] | None = None
        self._unfit = False

    @property
    def done(self) -> bool:
        """Whether it needs no more tokens."""
        return self._unfit or self._finish is not None

    def next_token(self, logits: torch.Tensor) -> int:
        """Return the token that follows."""
        if logits.isnan().any():
            self._unfit = True
            return 0
        completion = self._completion
        return choose(completion.rule, logits, [*completion.written, *self._tokens])

    def take(self, token: int) -> None:
        """Add *token*, and queue the text that is final now for sending."""
        self._tokens.append(token)
        if token not in self._ends:
            self._text.add(token)
        if token in self._ends or self._text.stopped:
            self._finish = "stop"
        elif len(self._completion.written) + len(self._tokens) >= self._completion.most:
            self._finish = "length"
        if self._finish is not None:
            self._text.finish()
        self._show()

    def answer(self) -> CompletionTurn | InvalidInput:
        """Return the result of this turn."""
        if self._unfit:
            return InvalidInput("The model's answer to this input is not a finite number")
        return self._turn()

    def _turn(self) -> CompletionTurn:
        return CompletionTurn(
            self._text.text[: self._text.certain],
            self._tokens,
            len(self._completion.ids),
            self._finish,
        )

    def _show(self) -> None:
        text = self._text.text[self._shown : self._text.certain]
        if text or self._finish is not None:
            whole = None if self._finish is None else self._turn()
            piece = TextPiece(self._completion.item, self._shown, text, whole)
            self._completion.pieces.add(piece)
            self._shown = self._text.certain

    def send(self) -> None:
        """Send the queued text of all rows."""
        self._completion.pieces.send()


class _Chooser(LogitsProcessor):
    """A logits processor that leaves only the chosen token possible for each row."""

    def __init__(self, rows: Sequence[_Row], pad_token: int) -> None:
        self._rows = rows
        self._pad_token = pad_token

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:  # noqa: ARG002 - transformers' own
        """Return scores that are 0 for the chosen tokens."""
        chosen = torch.tensor(
            [
                self._pad_token if row.done else row.next_token(logits)
                for row, logits in zip(self._rows, scores, strict=True)
            ],
            device=scores.device,
        )
        return torch.full_like(scores, -torch.inf).scatter_(1, chosen[:, None], 0.0)


class _Turn(StoppingCriteria):
    """A stopping criterion that ends rows that are done, and all rows when the turn is over."""

    def __init__(self, rows: Sequence[_Row], seconds: float) -> None:
        self._rows = rows
        self._seconds = seconds
        self._began = time.monotonic()
        self._until: float | None = None

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:  # noqa: ARG002 - transformers' own
        """Return which rows have ended, after sending their new text."""
        now = time.monotonic()
        if self._until is None:
            reading = now - self._began
            self._until = now + max(self._seconds, PREFILLS_PER_TURN * reading)
        for row, token in zip(self._rows, input_ids[:, -1].tolist(), strict=True):
            if not row.done:
                row.take(token)
        self._rows[0].send()
        over = now >= self._until
        return torch.tensor([over or row.done for row in self._rows], device=input_ids.device)


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)
