"""Errors of items and of loading a model.  An item's error has an HTTP status."""

import re
from pathlib import Path
from traceback import clear_frames, extract_tb

import torch

MAX_CAUSE = 150  # characters
MAX_SENTENCE = 300  # characters; an error must not be larger than the answer that it replaces

_NO_MEMORY = re.compile(
    r"out of memory|can't allocate memory|cudaErrorMemoryAllocation|_ALLOC(ATION)?_FAILED"
)
_BROKEN = re.compile(
    r"CUBLAS_STATUS_(EXECUTION_FAILED|INTERNAL_ERROR|MAPPING_ERROR)|CUDNN_STATUS_EXECUTION_FAILED"
    r"|device-side assert|illegal memory access|illegal instruction|misaligned address"
    r"|unspecified launch failure|device is lost"
)


class ItemError(Exception):
    """An error of one item, which does not affect the others of its job.

    The text is for the client.  *field* is the part of the input or the parameter that it is about.
    *cause* is for the log and does not quote the input.
    """

    status = 500

    def __init__(
        self, text: str = "", *, field: str | None = None, cause: str | None = None
    ) -> None:
        super().__init__(text if field is None else f"{field}: {text}")
        self.field = field
        self.cause = cause
        self._text = text

    @property
    def sentence(self) -> str:
        """The text for the client, shortened and without characters that cannot be encoded."""
        return _readable(str(self))

    @property
    def rule(self) -> str | None:
        """The sentence without its field, or None if it has no field."""
        return None if self.field is None else _readable(self._text)


def _readable(text: str) -> str:
    return text[:MAX_SENTENCE].encode("utf-8", "backslashreplace").decode()


class InvalidInput(ItemError):
    """The model cannot process this input."""

    status = 400


class MemoryExhausted(ItemError):
    """There was not enough memory for this item, even on its own.  There may be later."""

    status = 503


class AnswerTooLarge(ItemError):
    """The answer exceeds TorchServe's limit.  It would kill the worker for sending it."""


class LoadError(RuntimeError):
    """The model cannot be loaded as configured.  The message says what to change."""


def as_item_error(exc: Exception) -> ItemError:
    """Return the error for the client: *exc* if it is one, else one that reveals nothing."""
    if isinstance(exc, ItemError):
        return exc
    if is_out_of_memory(exc):
        return MemoryExhausted("Out of memory")
    return ItemError("Internal server error", cause=_cause(exc))


def _cause(exc: Exception) -> str:
    """Return the type of *exc* and where it was raised.  Its text may quote the input."""
    kind = type(exc).__name__
    for frame in reversed(extract_tb(exc.__traceback__)):
        return f"{kind} in {frame.name}, {Path(frame.filename).name}:{frame.lineno}"[:MAX_CAUSE]
    return kind


def is_out_of_memory(exc: BaseException) -> bool:
    """Return whether *exc*, or an error that caused it, means that memory ran out.

    torch's CPU allocator, cuBLAS, cuDNN and cuFFT raise a plain RuntimeError, so its text decides.
    """
    return any(
        isinstance(each, (MemoryError, torch.OutOfMemoryError))
        or (isinstance(each, RuntimeError) and _NO_MEMORY.search(str(each)))
        for each in _chain(exc)
    )


def is_broken_device(exc: BaseException) -> bool:
    """Return whether *exc*, or an error that caused it, makes the device unusable from here."""
    if is_out_of_memory(exc):
        return False
    return any(
        isinstance(each, torch.AcceleratorError)
        or (isinstance(each, RuntimeError) and _BROKEN.search(str(each)))
        for each in _chain(exc)
    )


def release_frames(exc: BaseException) -> None:
    """Clear the frames of *exc*'s traceback, above all to free their tensors on a device."""
    for each in _chain(exc):
        clear_frames(each.__traceback__)


def _chain(exc: BaseException) -> list[BaseException]:
    """Return *exc* and the errors that caused it."""
    chain: list[BaseException] = []
    link: BaseException | None = exc
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    return chain
