"""Reads and writes TorchServe's rows: what a handler is given, and what it returns.

A row is a dict with the request's body under ``body``, or under ``data`` if it was a form.  The
body is a job of many items, or one plain input as TorchServe passes it: bytes, text, or parsed
JSON.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Protocol

import msgspec

from handler_kit.errors import AnswerTooLarge, ItemError
from handler_kit.job import (
    CONTENT_TYPE,
    Answer,
    Item,
    MalformedJob,
    RunBy,
    Timings,
    is_job,
    read_job,
    write_answer,
)
from handler_kit.wav import write_wav

HEADER_ALLOWANCE = 512  # bytes of an item's header in the answer, without its id


class Context(Protocol):
    """The part of TorchServe's context that handlers use."""

    system_properties: dict[str, Any]
    model_yaml_config: dict[str, Any] | None

    def get_request_header(self, idx: int, key: str) -> str | None:
        """Return the header *key* of row *idx*."""

    def set_response_status(self, code: int, phrase: str, idx: int) -> None:
        """Set the HTTP status of row *idx*."""

    def set_response_content_type(self, idx: int, value: str) -> None:
        """Set the content type of row *idx*."""


class Request(msgspec.Struct, frozen=True):
    """The items of a row.  If it has none, *refusal* says why."""

    items: list[Item]
    is_job: bool = False
    refusal: str | None = None


def read_row(row: dict[str, Any], plain_type: str = "json") -> Request:
    """Return the items of *row*.  A body that is not a job is one item of *plain_type*.

    Never raises: a row that cannot be read becomes a refused request.
    """
    content = row.get("body", row.get("data"))
    if content is None:
        return Request([], refusal="The request has no body")
    if not isinstance(content, (bytes, bytearray)):
        return Request([Item(value=_from_form(row, content))])
    if not is_job(content):
        return Request([Item(body=bytes(content), type=plain_type)])
    try:
        return Request(read_job(content), is_job=True)
    except MalformedJob as exc:
        return Request([], refusal=f"Malformed job: {exc}")


def write_row(
    context: Context,
    idx: int,
    request: Request,
    answers: Sequence[Answer],
    run_by: RunBy,
    timings: Timings,
) -> bytes:
    """Return the body of row *idx*, and set its status and content type in *context*."""
    if request.is_job:
        context.set_response_content_type(idx, CONTENT_TYPE)
        return write_answer(request.items, answers, run_by, timings)
    if request.refusal is not None:
        return refuse_row(context, idx, 400, request.refusal)
    (answer,) = answers
    if answer.error is not None:
        return refuse_row(context, idx, answer.status, answer.error)
    if answer.type == "pcm":
        context.set_response_content_type(idx, "audio/wav")
        return write_wav(answer.body, answer.parameters["sample_rate"])
    context.set_response_content_type(idx, "application/json")
    return answer.body


def refuse_row(context: Context, idx: int, status: int, error: str) -> bytes:
    """Return the body of row *idx*, which failed as a whole."""
    context.set_response_status(code=status, phrase=HTTPStatus(status).phrase, idx=idx)
    context.set_response_content_type(idx, "application/json")
    return msgspec.json.encode({"error": error})


def sender(item: Item) -> str:
    """Return the ids of *item*'s request for the log.  The sidecar has created or checked them."""
    return f"request {item.request_id}, traceparent {item.traceparent}"


def failed(error: ItemError, forward_pass: int = 0) -> Answer:
    """Return the answer to an item that failed with *error*."""
    return Answer(
        status=error.status,
        error=error.sentence,
        field=error.field,
        rule=error.rule,
        forward_pass=forward_pass,
        cause=error.cause,
    )


def within_limit(items: Sequence[Item], answers: Sequence[Answer], limit: int) -> list[Answer]:
    """Return the *answers* of a row, with errors for those beyond *limit* bytes in total.

    In order, each answer that does not fit any more is replaced; a smaller one after it may fit.
    """
    used = sum(len(item.id) + HEADER_ALLOWANCE for item in items)
    kept = []
    for answer in answers:
        if used + len(answer.body) > limit:
            error = AnswerTooLarge(f"The answer is larger than {limit} bytes")
            kept.append(failed(error, answer.forward_pass))
        else:
            used += len(answer.body)
            kept.append(answer)
    return kept


def _from_form(row: dict[str, Any], content: object) -> object:
    """Return a form's text field, parsed if it is JSON.  Text under ``body`` is kept."""
    if "body" in row or not isinstance(content, str):
        return content
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return content
