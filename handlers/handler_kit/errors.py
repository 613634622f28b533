"""What can go wrong with one item, and with a load.  An item's error knows its status."""

from pathlib import Path
from traceback import extract_tb

import torch

MAX_CAUSE = 150  # characters
MAX_SENTENCE = 300  # characters; an error must not outgrow the answer it stands for


class ItemError(Exception):
    """One item failed; the others of its job do not notice.  The text is for the client."""

    status = 500

    def __init__(self, text: str = "", *, cause: str | None = None) -> None:
        super().__init__(text)
        self.cause = cause  # what went wrong, for the log; it quotes nothing of the input

    @property
    def sentence(self) -> str:
        """What the client reads: short, and encodable whatever the client sent."""
        return str(self)[:MAX_SENTENCE].encode("utf-8", "backslashreplace").decode()


class InvalidInput(ItemError):
    """The model cannot take this input."""

    status = 400


class MemoryExhausted(ItemError):
    """There was no memory for this item, even alone; there may be later."""

    status = 503


class AnswerTooLarge(ItemError):
    """The answer would not pass TorchServe, which kills the worker for trying."""


class LoadError(RuntimeError):
    """The model cannot be loaded as configured; the message says what to change."""


def as_item_error(exc: Exception) -> ItemError:
    """The error that the client sees for *exc*: its own sentence, or one that leaks nothing."""
    if isinstance(exc, ItemError):
        return exc
    if is_out_of_memory(exc):
        return MemoryExhausted("Out of memory")
    return ItemError("Internal server error", cause=_cause(exc))


def _cause(exc: Exception) -> str:
    """Return the kind of *exc* and the place it came from: its text may quote the input."""
    kind = type(exc).__name__
    for frame in reversed(extract_tb(exc.__traceback__)):
        return f"{kind} in {frame.name}, {Path(frame.filename).name}:{frame.lineno}"[:MAX_CAUSE]
    return kind


def is_out_of_memory(exc: BaseException) -> bool:
    """Whether *exc* means that memory ran out.

    torch's CPU allocator and some backends raise a bare RuntimeError, known by its text only.
    """
    if isinstance(exc, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(exc)
    return isinstance(exc, RuntimeError) and (
        "out of memory" in text or "can't allocate memory" in text
    )
