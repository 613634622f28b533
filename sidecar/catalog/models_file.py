"""models.json as a file that grows: entries are added to it, and all else stays as it was."""

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from sidecar.catalog.catalog import parse_specs
from sidecar.catalog.entries import CatalogError
from sidecar.catalog.json_places import find_places
from sidecar.durable_files import write_whole

LOCK = "models_file.lock"  # in the state folder: no other file appears beside models.json
INDENT = "  "

Entry = dict[str, Any]  # as JSON has it


class ModelsFile:
    """The file at *path*; whoever adds to it holds a lock in *state_dir*."""

    def __init__(self, path: Path, state_dir: Path) -> None:
        self._path = path
        self._lock = state_dir / LOCK

    def stamp(self) -> tuple[int, int] | None:
        """Return what changes when the file does; None while there is none."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size

    def add(self, entries: Mapping[str, Entry]) -> list[str]:
        """Add those of *entries* that are not there yet; return their keys.

        Raises CatalogError, and adds none, when one of them is there with another entry, or when
        the file would not be a catalog with them; OSError when it cannot be written.
        """
        self._lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(self._lock):
            text = self._path.read_text(encoding="utf-8")
            there = json.loads(text)["models"]
            for key, entry in entries.items():
                if there.get(key, entry) != entry:
                    raise CatalogError(
                        f"{self._path}: {key} is there already, with another entry; change it "
                        "there, or choose another name"
                    )
            new = {key: entry for key, entry in entries.items() if key not in there}
            if new:
                grown = with_entries(text, new)
                parse_specs(grown.encode(), str(self._path))
                mode = self._path.stat().st_mode & 0o777
                write_whole(self._path.resolve(), grown.encode(), mode=mode)
        return list(new)


def with_entries(text: str, entries: Mapping[str, Entry]) -> str:
    """Return *text*, a models.json, with *entries* after those it has."""
    places = find_places(text)
    models = places["models",]
    written = textwrap.indent(
        ",\n".join(
            f"{json.dumps(key)}: {json.dumps(entry, indent=2, ensure_ascii=False)}"
            for key, entry in entries.items()
        ),
        2 * INDENT,
    )
    there = [place.end for path, place in places.items() if path[:-1] == ("models",) and path[1:]]
    at, comma = (max(there), ",") if there else (models.value + 1, "")
    rest = text[at:] if there else f"\n{INDENT}{text[at:].lstrip()}"
    return f"{text[:at]}{comma}\n{written}{rest}"
