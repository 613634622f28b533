"""Finds in workers.log why a model could not be loaded: workers report it nowhere else."""

import builtins
import re
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from sidecar.settings import MB

WORKERS_LOG = "workers.log"  # its name, as log4j2.xml has it
MOST_BYTES = MB  # of the log that are read for one answer
MOST_CHARACTERS = 500  # of a reason
WAIT_SECONDS = 1.0  # for a line that is on its way into the log
LOOK_SECONDS = 0.05
DIED = "Backend worker process died."  # a traceback follows
TOLD_BEFORE = ("500 - Unknown exception", "507 - System out of memory")
ITS_OWN = "ts.torch_handler."  # the package of TorchServe's handlers
PLAIN = (ImportError, OSError)  # their sentences say enough

_FOLDERS = re.compile(r"(?<![\w/])/(?:[^\s/'\":]+/)+")  # of this machine, which nobody is told
_TOLD = re.compile(r"(?:Failed to load model \S+|Load model \S+ \w+ OOM), exception (?P<reason>.+)")
_ESCAPED_SPACE = re.compile(r"(?:\\[nrt]|\s)+")


class WorkerLog:
    """The log at *path* with what workers print; None: there is no access to it."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def end(self) -> int:
        """Return where the log ends now."""
        try:
            return self._path.stat().st_size if self._path else 0
        except OSError:
            return 0

    def find_reason(self, key: str, since: int) -> str | None:
        """Return why a worker of *key* could not load it, in its handler's own words.

        Only what was written after *since* counts; a line that is just being written is waited for.
        None: the log does not say.  It blocks.
        """
        until = time.monotonic() + WAIT_SECONDS
        while self._path is not None:
            if (reason := reason_in(self._read(since), key)) is not None:
                return reason
            if time.monotonic() > until:
                break
            time.sleep(LOOK_SECONDS)
        return None

    def where(self) -> str:
        """Return, for people, which log may say more."""
        return "the log of TorchServe" if self._path is None else self._path.name

    def _read(self, since: int) -> str:
        assert self._path is not None
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, 2)
                since = since if since <= size else 0  # it has begun anew
                file.seek(max(since, size - MOST_BYTES))
                return file.read().decode(errors="replace")
        except OSError:
            return ""


def reason_in(text: str, key: str) -> str | None:
    """Return the last reason in *text* why *key* was not loaded, as one line without folders."""
    by_worker: dict[str, list[str]] = {}
    reason = None
    for found in _lines_of(key).finditer(text):
        line, worker = found["line"], found["worker"]
        if (told := _TOLD.match(line)) is not None:
            reason = told["reason"]
        elif line.startswith(DIED):
            by_worker[worker] = []
        elif worker in by_worker:
            by_worker[worker].append(line)
            reason = _raised(by_worker[worker]) or reason
    return shown(reason) if reason else None


def _lines_of(key: str) -> re.Pattern[str]:
    """Return what finds the lines that workers of *key* wrote, each with its worker."""
    return re.compile(rf"(?P<worker>W-\d+-{re.escape(key)}_[^_\s]+)-std\w+ (?:\w+ )?- (?P<line>.*)")


def _raised(lines: Sequence[str]) -> str | None:
    """Return what a worker died of, by the *lines* of its traceback, as far as they are there.

    A handler that cannot be imported is looked for among TorchServe's own after that: what its
    own import raised counts, and stands first.  None: nothing that its log line has not told.
    """
    raised = [line for before, line in pairwise(lines) if before.startswith(" ") and line[:1] > " "]
    causes = [line for line in raised if f"'{ITS_OWN}" not in line]
    if not causes or causes[-1].endswith(TOLD_BEFORE):
        return None
    kind, _, sentence = causes[-1].partition(": ")
    exception = getattr(builtins, kind, BaseException)
    return sentence if sentence and issubclass(exception, PLAIN) else causes[-1]


def shown(reason: str) -> str:
    """Return *reason* on one line, of bounded length, without the folders of this machine."""
    text = _FOLDERS.sub("", _ESCAPED_SPACE.sub(" ", reason)).strip()
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}…"
