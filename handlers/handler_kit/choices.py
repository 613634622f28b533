"""The results of trials at load, stored beside the model so that a wake need not repeat them."""

import hashlib
import json
import logging
import platform
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec
import torch

log = logging.getLogger(__name__)

FILE = "choices.json"
Choice = TypeVar("Choice")


class Choices:
    """The choices stored in *folder*, a model's own.  Valid for this machine, torch and *settings*.

    If they cannot be read or written, the next load repeats the trials.
    """

    def __init__(self, folder: Path, settings: Mapping[str, object]) -> None:
        self._path = folder / FILE
        self._key = _key(folder, settings)
        self._found = self._read()

    def recall(self, name: str, kind: type[Choice]) -> Choice | None:
        """Return the choice stored as *name*, or None."""
        try:
            return msgspec.convert(self._found[name], kind)
        except (KeyError, msgspec.ValidationError):
            return None

    def keep(self, name: str, choice: object) -> None:
        """Store *choice* as *name* for the next load."""
        self._found[name] = msgspec.to_builtins(choice)
        body = msgspec.json.encode({"key": self._key, "choices": self._found})
        try:
            # Replaced in one step: workers of a model may load at the same time.
            folder = self._path.parent
            with tempfile.NamedTemporaryFile(prefix=FILE, dir=folder, delete=False) as file:
                file.write(body)
            Path(file.name).replace(self._path)
        except OSError as exc:
            log.info("the choices cannot be stored: %s", exc)

    def _read(self) -> dict[str, object]:
        try:
            kept = json.loads(self._path.read_bytes())
            found = kept["choices"] if kept["key"] == self._key else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return found if isinstance(found, dict) else {}


def _key(folder: Path, settings: Mapping[str, object]) -> str:
    """Return what the choices depend on.  Stored choices with another key are ignored."""
    files = sorted(
        (str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc" and not path.name.startswith(FILE)
    )
    machine = (platform.machine(), torch.cpu.get_capabilities(), torch.get_num_threads())
    everything = repr((files, machine, torch.__version__, msgspec.to_builtins(settings)))
    return hashlib.sha256(everything.encode()).hexdigest()
