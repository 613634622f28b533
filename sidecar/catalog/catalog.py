"""models.json, read and checked; and the names by which people ask for a model."""

import inspect
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from sidecar.catalog.downloaded import Downloaded, merged
from sidecar.catalog.entries import CatalogError, read_entries, unfit_key
from sidecar.catalog.own_archives import find_archives
from sidecar.errors import NO_SUCH_MODEL, ModelNotFound
from sidecar.schemas.model_spec import ArchiveName, CatalogFile, ModelSpec, Name, folded
from sidecar.validation import nearest

log = logging.getLogger(__name__)

NONE_DOWNLOADED: Mapping[str, Downloaded] = {}
NOTHING_BROKEN: Mapping[str, str] = {}


class Catalog(Mapping[str, ModelSpec]):
    """The models by key, in load order.  It never changes: a change is another catalog."""

    def __init__(
        self,
        specs: Mapping[str, ModelSpec],
        own: Iterable[str] = (),
        broken: Mapping[str, str] = NOTHING_BROKEN,
        found: Iterable[str] = (),
    ) -> None:
        self._own = frozenset(own)
        self.found = frozenset(found)  # archives that no entry has, offered by themselves
        self.broken = broken  # entries of models.json that are wrong, and why, by key
        self._specs = dict(sorted(specs.items(), key=lambda each: (each[1].load_priority, each[0])))
        self._keys = _keys_by_name(self._specs)

    def __getitem__(self, key: str) -> ModelSpec:
        return self._specs[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)

    def key_of(self, name: str) -> str | None:
        """Return the key for any of a model's names, with hyphens or underscores.

        They are its key, its hub id and its aliases.
        """
        return name if name in self._specs else self._keys.get(folded(name))

    def require(
        self,
        name: str,
        *,
        called: str | None = None,
        field: str = "model_name",
        rule: str | None = None,
    ) -> str:
        """Return what `key_of` does.

        Raises ModelNotFound where no model has this name.  The error names the *field* of the
        request, the name that the client *called* the model by, if that differs, and *rule* as the
        reason: by default, why this catalog has no such model.
        """
        key = self.key_of(name)
        if key is None:
            raise ModelNotFound(called or name, rule or self._why_unknown(name), field=field)
        return key

    def _why_unknown(self, name: str) -> str:
        """Return why no model has *name*: its entry is wrong, or the name is mistyped."""
        if name in self.broken:
            return self.broken[name]
        near = nearest(folded(name), self._keys)
        return f"{NO_SUCH_MODEL}{near}"

    def is_own(self, key: str) -> bool:
        """Return whether *key* is here only because it was downloaded: not by models.json."""
        return key in self._own

    def with_entry(self, key: str, spec: ModelSpec) -> "Catalog":
        """Return the catalog with an entry of models.json as it is now.  Raises CatalogError."""
        if self.is_own(key):
            raise CatalogError(f"models.json: {key}: a model that was downloaded has this name")
        broken = {known: why for known, why in self.broken.items() if known != key}
        return Catalog({**self._specs, key: spec}, self._own, broken, self.found - {key})

    def with_download(self, key: str, spec: ModelSpec) -> "Catalog":
        """Return the catalog with a model that was downloaded.  Raises CatalogError."""
        return Catalog({**self._specs, key: spec}, {*self._own, key}, self.broken, self.found)

    def with_spec(self, key: str, spec: ModelSpec) -> "Catalog":
        """Return the catalog with another spec for a model that it has, by the same names."""
        return Catalog({**self._specs, key: spec}, self._own, self.broken, self.found)

    def without(self, key: str) -> "Catalog":
        """Return the catalog without *key*: its files are gone, or nobody is to be served it."""
        specs = {known: spec for known, spec in self._specs.items() if known != key}
        return Catalog(specs, self._own - {key}, self.broken, self.found - {key})

    def auto_load(self) -> list[str]:
        """Return the enabled models to load at start, in load order."""
        return [key for key, spec in self.items() if spec.enabled and spec.auto_load]


def _keys_by_name(specs: Mapping[str, ModelSpec]) -> dict[str, str]:
    """Return each name's key.  Raises CatalogError for an unfit key, or a name of two models."""
    keys: dict[str, str] = {}
    for key, spec in specs.items():
        kind = ArchiveName if spec.is_own else Name
        if (reason := unfit_key(key, kind)) is not None:
            raise CatalogError(f"models.json: {key}: {reason}")
        for name in sorted(spec.names(key)):
            owner = keys.setdefault(name, key)
            if owner != key:
                raise CatalogError(f"models.json: {key}: the name {name!r} is also {owner}'s")
    return keys


def load_catalog(
    path: Path,
    downloaded: Mapping[str, Downloaded] = NONE_DOWNLOADED,
    store: Path | None = None,
    *,
    serve_archives: bool = False,
    to_be_built: bool = False,
) -> Catalog:
    """Return the catalog in *path*, with the *downloaded* models that it does not have itself.

    Entries with the handler `own` are completed by their archives in *store*; with
    *serve_archives*, the other archives there are models too.  *to_be_built*: those that are not
    there will be built, and their entries must have what that takes.

    Entries that are wrong are left out, and stand in `broken`.  Raises CatalogError when the file
    as a whole cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise CatalogError(f"{path}: {exc.strerror}") from exc
    read = read_entries(data, path.name, store, to_be_built=to_be_built)
    together = merged(
        read.specs, {key: each for key, each in downloaded.items() if unfit_key(key) is None}
    )
    own = together.keys() - read.specs.keys()
    found: Mapping[str, ModelSpec] = {}
    if serve_archives and store is not None:
        found = _offered(store, together)
    return Catalog({**together, **found}, own=own, broken=read.broken, found=found)


def _offered(store: Path, specs: Mapping[str, ModelSpec]) -> dict[str, ModelSpec]:
    """Return the archives that no entry has."""
    found = find_archives(store, specs)
    for reason in found.left_out:
        log.warning("%s: not offered: %s", store, reason)
    return found.specs


def parse_catalog(data: bytes, name: str = "models.json") -> Catalog:
    """Return the catalog in *data*.  Raises CatalogError for the first entry that is wrong."""
    return Catalog(parse_specs(data, name))


def parse_specs(data: bytes, name: str, store: Path | None = None) -> dict[str, ModelSpec]:
    """Return the entries of models.json; archives with custom handlers are in *store*.

    Raises CatalogError for the first one that is wrong.
    """
    read = read_entries(data, name, store)
    for sentence in read.broken.values():
        raise CatalogError(sentence)
    return read.specs


def catalog_schema() -> dict[str, object]:
    """Return the JSON Schema of models.json, for editors."""
    schema = msgspec.json.schema(CatalogFile)
    definitions = schema["$defs"]
    (specs,), entries = msgspec.json.schema_components([ModelSpec], ref_template="#/$defs/{name}")
    definitions.update(entries)
    definitions["CatalogFile"]["properties"]["models"]["additionalProperties"] = specs
    for definition in definitions.values():  # Python 3.13 takes out the indentation, 3.11 does not
        if "description" in definition:
            definition["description"] = inspect.cleandoc(definition["description"])
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "models.json"
    return schema
