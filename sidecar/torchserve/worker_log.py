"""workers.log, asked why a model could not be loaded: a worker tells that nowhere else."""

import re
import time
from pathlib import Path

from sidecar.settings import MB

WORKERS_LOG = "workers.log"  # its name, as log4j2.xml has it
MOST_BYTES = MB  # of the log that are read for one answer
MOST_CHARACTERS = 500  # of a reason
WAIT_SECONDS = 1.0  # for a line that is on its way into the log
LOOK_SECONDS = 0.05

_FOLDERS = re.compile(r"(?<![\w/])/(?:[^\s/'\":]+/)+")  # of this machine, which nobody is told
_ESCAPED_SPACE = re.compile(r"(?:\\[nrt]|\s)+")


class WorkerLog:
    """The log at *path* that TorchServe writes what workers print to; None: it is not to be had."""

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

        Only what was written behind *since* counts; a line that is just being written is waited
        for.  None: the log does not say.  It blocks.
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
    line = re.compile(
        rf"W-\d+-{re.escape(key)}_[\d.]+-std\w+ (?:\w+ )?- "
        rf"(?:Failed to load model {re.escape(key)}|Load model {re.escape(key)} \w+ OOM), "
        r"exception (?P<reason>.+)"
    )
    reasons = [found["reason"] for found in line.finditer(text)]
    return shown(reasons[-1]) if reasons else None


def shown(reason: str) -> str:
    """Return *reason* on one line, of bounded length, without the folders of this machine."""
    text = _FOLDERS.sub("", _ESCAPED_SPACE.sub(" ", reason)).strip()
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}…"
