"""What can go wrong with one item, and with a load.  An item's error knows its status."""

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
    """Whether *exc*, or what led to it, means that memory ran out.

    torch's CPU allocator, cuBLAS, cuDNN and cuFFT raise a bare RuntimeError, which only its text
    tells apart.
    """
    return any(
        isinstance(each, (MemoryError, torch.OutOfMemoryError))
        or (isinstance(each, RuntimeError) and _NO_MEMORY.search(str(each)))
        for each in _chain(exc)
    )


def is_broken_device(exc: BaseException) -> bool:
    """Whether *exc*, or what led to it, leaves the device unusable to this process."""
    if is_out_of_memory(exc):
        return False
    return any(
        isinstance(each, torch.AcceleratorError)
        or (isinstance(each, RuntimeError) and _BROKEN.search(str(each)))
        for each in _chain(exc)
    )


def release_frames(exc: BaseException) -> None:
    """Let go of all that the frames *exc* passed through hold, tensors on a device above all."""
    for each in _chain(exc):
        clear_frames(each.__traceback__)


def _chain(exc: BaseException) -> list[BaseException]:
    """*exc* and what it was raised from, or while handling."""
    chain: list[BaseException] = []
    link: BaseException | None = exc
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    return chain
