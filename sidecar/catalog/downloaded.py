"""Which models were downloaded: `<state_dir>/downloaded_models.json` and the folder of their files.

The server and `scripts/models` both write it, so every change is made under a lock.
"""

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from filelock import FileLock

from sidecar.schemas.model_spec import ModelSpec

log = logging.getLogger(__name__)

REGISTRY = "downloaded_models.json"
FOLDER = "models"


class Downloaded(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One downloaded model.  *revision* is the commit that a hub's branch or tag led to."""

    spec: ModelSpec
    source: str
    model_id: str
    revision: str | None
    sha256: str | None
    size_bytes: int
    downloaded_at: str  # UTC, to the second
    vocoder: str | None = None


_Records = dict[str, Downloaded]


class DownloadedModels:
    """The file, read anew each time: it is small, and somebody else may have written it."""

    def __init__(self, state_dir: Path) -> None:
        self.base = state_dir / FOLDER  # each model's files lie in a folder of its key
        self._file = state_dir / REGISTRY

    def records(self) -> dict[str, Downloaded]:
        """What is there, by key.  A file that cannot be read counts as empty, and is logged."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=_Records)
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError) as exc:
            log.warning("%s: %s; its models are left out", self._file, exc)
            return {}

    def stamp(self) -> int | None:
        """Changes when the file does; None while there is none."""
        try:
            return self._file.stat().st_mtime_ns
        except OSError:
            return None

    def put(self, key: str, record: Downloaded) -> None:
        """Enters *key*, in place of what it had."""
        self._change(lambda records: records.update({key: record}))

    def drop(self, key: str) -> None:
        """Takes *key* out, and its files."""
        self._change(lambda records: records.pop(key, None))
        shutil.rmtree(self.base / key, ignore_errors=True)

    def to_build(self, key: str, spec: ModelSpec) -> ModelSpec | None:
        """*spec* with the path of its files below `base`; None while they are not here."""
        return msgspec.structs.replace(spec, path=key) if (self.base / key).is_dir() else None

    def _change(self, change: Callable[[_Records], object]) -> None:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(f"{self._file}.lock"):
            records = self.records()
            change(records)
            write_whole(self._file, msgspec.json.format(msgspec.json.encode(records), indent=1))


def write_whole(path: Path, data: bytes) -> None:
    """Puts *data* into *path*, whole or not at all."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(path)


def merged(
    specs: Mapping[str, ModelSpec], downloaded: Mapping[str, Downloaded]
) -> dict[str, ModelSpec]:
    """models.json's entries, and the downloaded ones that it does not have.  models.json wins."""
    entries = dict(specs)
    names = {name for key, spec in specs.items() for name in spec.names(key)}
    for key, record in downloaded.items():
        own = record.spec.names(key)
        if key not in specs and names.isdisjoint(own):
            entries[key] = record.spec
            names |= own
        elif key not in specs:
            log.warning("%s: left out, another model has one of its names", key)
    return entries
