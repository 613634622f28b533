"""The entries of models.json, each checked by itself: a wrong one does not affect the others.

A fault is told with the line and the column, the entry, the field and the rule.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from sidecar.catalog.handler_options import read_options
from sidecar.catalog.json_places import find_duplicate, find_places, line_and_column
from sidecar.catalog.own_archives import UnreadableArchive, own_entry, read_archive
from sidecar.schemas.model_spec import HANDLER_OF, ArchiveName, ModelSpec, Name
from sidecar.validation import Misfit, explain_misfit


class CatalogError(ValueError):
    """models.json is wrong; the message names the entry and the field."""


class Entries(NamedTuple):
    """The valid entries, and what is wrong with the others, by key."""

    specs: dict[str, ModelSpec]
    broken: dict[str, str]


class _File(msgspec.Struct, forbid_unknown_fields=True):
    models: dict[str, msgspec.Raw]
    schema: str = msgspec.field(default="", name="$schema")


def read_entries(
    data: bytes, name: str, store: Path | None = None, *, to_be_built: bool = False
) -> Entries:
    """Return the entries in *data*, the file *name*.

    Those with the handler `own` are completed by their archives in *store*.  *to_be_built*: the
    archives that are not in it will be built, and the entries must have what that takes.

    Raises CatalogError when *data* as a whole is not a catalog.
    """
    text, file = _read_file(data, name)
    found, names = Entries({}, {}), dict[str, str]()
    for key, raw in file.models.items():
        entry = msgspec.json.decode(raw)
        is_own = isinstance(entry, dict) and entry.get("handler") == "own"
        built_into = store if to_be_built else None
        read = _read_own(key, entry, store) if is_own else _read_entry(key, raw, built_into)
        if isinstance(read, ModelSpec) and (taken := _take_names(names, key, read)) is not None:
            read = Misfit((), taken)
        if isinstance(read, ModelSpec):
            found.specs[key] = read
        else:
            place = _place(text, ("models", key, *read.path))
            found.broken[key] = f"{name}, {place}: {key}: {read}"
    return found


def own_archive_entry(
    archive: Path, name: str | None, inference: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return the entry for *archive*, which has a custom handler, under *name* or its model's.

    *inference* has the settings that beat the archive's own.  Raises CatalogError.
    """
    try:
        facts = read_archive(archive)
    except UnreadableArchive as exc:
        raise CatalogError(str(exc)) from exc
    if facts.ours:
        raise CatalogError(f"{archive}: it is one that this program built; its entry is elsewhere")
    entry: dict[str, Any] = {"handler": "own", "archive": archive.name}
    return {name or facts.name: entry | ({"inference": dict(inference)} if inference else {})}


def unfit_key(key: str, kind: Any = Name) -> str | None:
    """Return why *key* cannot be a model's key, of this *kind*; None when it can."""
    if "token" in key:
        return (
            "a key must not contain 'token': TorchServe takes its calls for those of its token API"
        )
    try:
        msgspec.convert(key, kind)
    except msgspec.ValidationError as exc:
        return f"the name of an entry: {explain_misfit(exc, kind)}"
    return None


def _read_file(data: bytes, name: str) -> tuple[str, _File]:
    try:
        file = msgspec.json.decode(data, type=_File)
        text = data.decode()
    except msgspec.ValidationError as exc:
        misfit = explain_misfit(exc, _File)
        raise CatalogError(f"{name}, {_place(data.decode(), misfit.path)}: {misfit}") from exc
    except msgspec.DecodeError as exc:
        raise CatalogError(f"{name}, {_spoiled_place(data)}: {exc}") from exc
    if (twice := find_duplicate(text)) is not None:
        raise CatalogError(f"{name}, {_place(text, twice)}: {twice[-1]} appears twice")
    return text, file


def _read_entry(key: str, raw: msgspec.Raw, built_into: Path | None) -> ModelSpec | Misfit:
    """Return the entry or its fault; an archive that is not in *built_into* has to be built."""
    if (reason := unfit_key(key)) is not None:
        return Misfit((), reason)
    try:
        spec = msgspec.json.decode(raw, type=ModelSpec)
    except msgspec.ValidationError as exc:
        return explain_misfit(exc, ModelSpec)
    tasks = [task for task, handler in HANDLER_OF.items() if handler == spec.handler]
    if spec.task not in tasks:
        return Misfit(
            ("task",),
            f"{spec.task} does not fit {spec.handler}, which does {', '.join(tasks)}; "
            f"{HANDLER_OF[spec.task]} does {spec.task}",
        )
    if not spec.handler_options and not _is_to_be_built(key, spec, built_into):
        return spec  # an archive that was made by hand brings its own
    options = read_options(spec.handler, spec.handler_options)
    if isinstance(options, Misfit):
        return options
    return _with_rank(spec, raw)


def _is_to_be_built(key: str, spec: ModelSpec, store: Path | None) -> bool:
    if store is None or spec.is_downloaded:
        return False
    return not (store / spec.archive_name(key)).exists()


def _read_own(key: str, entry: dict[str, Any], store: Path | None) -> ModelSpec | Misfit:
    if (reason := unfit_key(key, ArchiveName)) is not None:
        return Misfit((), reason)
    try:
        spec = msgspec.convert(own_entry(key, entry, store), ModelSpec)
    except msgspec.ValidationError as exc:
        return explain_misfit(exc, ModelSpec)
    if spec.handler_options:
        return Misfit(
            ("handler_options",), "a custom handler reads the archive's model-config.yaml"
        )
    return spec


def _with_rank(spec: ModelSpec, raw: msgspec.Raw) -> ModelSpec | Misfit:
    """Return *spec* with the rank that its input's shape has, or a misfit when it says another."""
    shape = spec.handler_options.get("input", {}).get("shape")
    if spec.handler != "tensor_handler" or shape is None or spec.input_rank == len(shape):
        return spec
    if "input_rank" in msgspec.json.decode(raw):
        return Misfit(
            ("input_rank",),
            f"{spec.input_rank} does not fit the shape {list(shape)}, which needs {len(shape)}; "
            "leave input_rank out: it follows from the shape",
        )
    return msgspec.structs.replace(spec, input_rank=len(shape))


def _take_names(names: dict[str, str], key: str, spec: ModelSpec) -> str | None:
    """Enter the names of *key* into *names*; return which of them another model has, if any."""
    own = spec.names(key)
    for name in sorted(own):
        if (owner := names.get(name, key)) != key:
            return f"the name {name!r} is also {owner}'s"
    names |= dict.fromkeys(own, key)
    return None


def _place(text: str, path: tuple[str | int, ...]) -> str:
    """Return where the value at *path* is, or the nearest one around it that is there."""
    places = find_places(text)
    while path and path not in places:
        path = path[:-1]
    line, column = line_and_column(text, places[path].start)
    return f"line {line}, column {column}"


def _spoiled_place(data: bytes) -> str:
    """Return where *data* ceases to be JSON."""
    try:
        msgspec.json.decode(data)
    except msgspec.DecodeError as exc:
        digits = str(exc).rpartition("(byte ")[2].rstrip(")")
        at = int(digits) if digits.isdecimal() else len(data)
        text = data[:at].decode(errors="replace")
        line, column = line_and_column(text, len(text))
        return f"line {line}, column {column}"
    return "line 1, column 1"
