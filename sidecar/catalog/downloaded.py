"""Which models were downloaded: `<state_dir>/downloaded_models.json` and the folder of their files.

The server and `scripts/models` both write it, so every change is made under a lock.
"""

import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from filelock import FileLock

from sidecar.durable_files import decoded_record, write_whole
from sidecar.schemas.model_spec import ModelSpec, Name

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


_RawRecords = dict[str, msgspec.Raw]


class DownloadedModels:
    """The file, read anew each time: it is small, and somebody else may have written it."""

    def __init__(self, state_dir: Path) -> None:
        self.base = state_dir / FOLDER  # each model's files lie in a folder of its key
        self._file = state_dir / REGISTRY

    def records(self) -> dict[str, Downloaded]:
        """Return what is there, by key.

        A record that cannot be read is left out and logged; the others stay.
        """
        records: dict[str, Downloaded] = {}
        for key, raw in (self._raw_records() or {}).items():
            where = f"{self._file}: {key[:100]!r}"
            name = decoded_record(msgspec.json.encode(key), Name, where)
            record = decoded_record(raw, Downloaded, where)
            if name is not None and record is not None:
                records[name] = record
        return records

    def _raw_records(self) -> _RawRecords | None:
        """Return the records as they stand in the file; None when it is not a JSON object."""
        try:
            data = self._file.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as exc:
            log.warning("%s: %s; its models are left out", self._file, exc)
            return None
        return decoded_record(data, _RawRecords, str(self._file))

    def stamp(self) -> int | None:
        """Return what changes when the file does; None while there is no file."""
        try:
            return self._file.stat().st_mtime_ns
        except OSError:
            return None

    def put(self, key: str, record: Downloaded) -> None:
        """Store *record* as that of *key*, in place of an older one."""
        raw = msgspec.Raw(msgspec.json.encode(record))
        self._change(lambda records: records.update({key: raw}))

    def drop(self, key: str) -> None:
        """Remove the record and the files of *key*."""
        self._change(lambda records: records.pop(key, None))
        shutil.rmtree(self.base / key, ignore_errors=True)

    def to_build(self, key: str, spec: ModelSpec) -> ModelSpec | None:
        """Return *spec* with the path of its files below `base`; None while they are not here."""
        return msgspec.structs.replace(spec, path=key) if (self.base / key).is_dir() else None

    def _change(self, change: Callable[[_RawRecords], object]) -> None:
        """Apply *change* to the records; those that cannot be read stay in the file as they are."""
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(f"{self._file}.lock"):
            records = self._raw_records()
            if records is None:  # kept for a person to look at: the next line overwrites it
                self._file.replace(f"{self._file}.damaged")
                records = {}
            change(records)
            write_whole(self._file, msgspec.json.format(msgspec.json.encode(records), indent=1))


def merged(
    specs: Mapping[str, ModelSpec], downloaded: Mapping[str, Downloaded]
) -> dict[str, ModelSpec]:
    """Return the entries of models.json, and the downloaded ones that it does not have."""
    entries = dict(specs)
    names = {name for key, spec in specs.items() for name in spec.names(key)}
    for key, record in downloaded.items():
        own = record.spec.names(key)
        if record.spec.is_own:
            log.warning("%s: left out, no download may bring a handler", key)
        elif key not in specs and names.isdisjoint(own):
            entries[key] = record.spec
            names |= own
        elif key not in specs:
            log.warning("%s: left out, another model has one of its names", key)
    return entries
