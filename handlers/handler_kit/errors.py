"""What can go wrong with one item, and with a load.  An item's error knows its HTTP status."""

import re
from pathlib import Path
from traceback import clear_frames, extract_tb

import torch

MAX_CAUSE = 150  # characters
MAX_SENTENCE = 300  # characters; an error must not outgrow the answer it stands for

_NO_MEMORY = re.compile(
    r"out of memory|can't allocate memory|cudaErrorMemoryAllocation|_ALLOC(ATION)?_FAILED"
)
_BROKEN = re.compile(
    r"CUBLAS_STATUS_(EXECUTION_FAILED|INTERNAL_ERROR|MAPPING_ERROR)|CUDNN_STATUS_EXECUTION_FAILED"
    r"|device-side assert|illegal memory access|illegal instruction|misaligned address"
    r"|unspecified launch failure|device is lost"
)


class ItemError(Exception):
    """One item failed; the others of its job are not affected.  The text is for the client.

    *field* is the part of the input, or the parameter, that the text is about.  *cause* is what
    went wrong, for the log; it quotes nothing of the input.
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
        """The text for the client: short, and encodable whatever the client sent."""
        return _readable(str(self))

    @property
    def rule(self) -> str | None:
        """The sentence without its field; None where it has none."""
        return None if self.field is None else _readable(self._text)


def _readable(text: str) -> str:
    return text[:MAX_SENTENCE].encode("utf-8", "backslashreplace").decode()


class InvalidInput(ItemError):
    """The model cannot take this input."""

    status = 400


class MemoryExhausted(ItemError):
    """There was not enough memory for this item, even alone; there may be later."""

    status = 503


class AnswerTooLarge(ItemError):
    """The answer exceeds what TorchServe passes on: it kills a worker that tries."""


class LoadError(RuntimeError):
    """The model cannot be loaded as configured; the message says what to change."""


def as_item_error(exc: Exception) -> ItemError:
    """Return the error that the client sees for *exc*: its own, or one that reveals nothing."""
    if isinstance(exc, ItemError):
        return exc
    if is_out_of_memory(exc):
        return MemoryExhausted("Out of memory")
    return ItemError("Internal server error", cause=_cause(exc))


def _cause(exc: Exception) -> str:
    """Return the type of *exc* and where it was raised; its text may quote the input."""
    kind = type(exc).__name__
    for frame in reversed(extract_tb(exc.__traceback__)):
        return f"{kind} in {frame.name}, {Path(frame.filename).name}:{frame.lineno}"[:MAX_CAUSE]
    return kind


def is_out_of_memory(exc: BaseException) -> bool:
    """Return whether *exc*, or an error that led to it, means that memory ran out.

    torch's CPU allocator, cuBLAS, cuDNN and cuFFT raise a bare RuntimeError, so its text decides.
    """
    return any(
        isinstance(each, (MemoryError, torch.OutOfMemoryError))
        or (isinstance(each, RuntimeError) and _NO_MEMORY.search(str(each)))
        for each in _chain(exc)
    )


def is_broken_device(exc: BaseException) -> bool:
    """Return whether *exc*, or an error behind it, leaves the device unusable to this process."""
    if is_out_of_memory(exc):
        return False
    return any(
        isinstance(each, torch.AcceleratorError)
        or (isinstance(each, RuntimeError) and _BROKEN.search(str(each)))
        for each in _chain(exc)
    )


def release_frames(exc: BaseException) -> None:
    """Release all that the frames of *exc*'s traceback hold: above all, tensors on a device."""
    for each in _chain(exc):
        clear_frames(each.__traceback__)


def _chain(exc: BaseException) -> list[BaseException]:
    """Return *exc* and the errors that it was raised from, or while handling."""
    chain: list[BaseException] = []
    link: BaseException | None = exc
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    return chain
