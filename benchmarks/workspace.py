"""A place to measure in: what is started and written there is gone afterwards, in any case."""

import contextlib
import ctypes
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

PR_SET_CHILD_SUBREAPER = 36  # of prctl(2)
END_SECONDS = 10.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def workspace() -> Iterator[Path]:
    """Give a folder that holds everything temporary, also that of programs started inside.

    At the end all processes that were started inside are ended, even those whose own parents are
    gone, and the folder is removed.  A signal that asks this program to end raises
    KeyboardInterrupt inside.
    """
    with (
        tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name,
        _temporary_files_in(name),
        _adopting_orphans(),
        _handling(_interrupt),
    ):
        before = set(_children())
        try:
            yield Path(name)
        finally:
            with _handling(signal.SIG_IGN):  # what they ask for happens already
                _end([each for each in _children() if each not in before])


@contextlib.contextmanager
def _temporary_files_in(folder: str) -> Iterator[None]:
    module, variable = tempfile.tempdir, os.environ.get("TMPDIR")
    tempfile.tempdir = os.environ["TMPDIR"] = folder
    try:
        yield
    finally:
        tempfile.tempdir = module
        if variable is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = variable


@contextlib.contextmanager
def _adopting_orphans() -> Iterator[None]:
    """Be the parent of every process whose parent ends, if this program started that parent."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl: cannot adopt orphans")
    try:
        yield
    finally:
        prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@contextlib.contextmanager
def _handling(handler: Callable[[int, FrameType | None], Any] | signal.Handlers) -> Iterator[None]:
    """Give the signals that ask to end to *handler*, but for those that are ignored already.

    nohup lets a program ignore SIGHUP, and a shell lets one in the background ignore SIGINT.
    """
    heeded = [each for each in SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in heeded}
    try:
        yield
    finally:
        for number, each in before.items():
            signal.signal(number, each)


def _interrupt(number: int, _: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


def _children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def _end(processes: list[psutil.Process]) -> None:
    """End *processes*, standing still or not; kill those that have not ended in time."""
    for number in (signal.SIGTERM, signal.SIGCONT):
        for each in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.send_signal(number)
    _, alive = psutil.wait_procs(processes, timeout=END_SECONDS)
    for each in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    psutil.wait_procs(alive, timeout=END_SECONDS)
