"""models.json, read and checked; and the names by which people ask for a model."""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from sidecar.catalog.downloaded import Downloaded, merged
from sidecar.errors import ModelNotFound
from sidecar.schemas.model_spec import CatalogFile, ModelSpec, folded

NONE_DOWNLOADED: Mapping[str, Downloaded] = {}


class CatalogError(ValueError):
    """models.json is wrong; the message names the entry and the field."""


class Catalog(Mapping[str, ModelSpec]):
    """The models by key, in load order.  It never changes: a change is another catalog."""

    def __init__(self, specs: Mapping[str, ModelSpec], own: Iterable[str] = ()) -> None:
        self._own = frozenset(own)
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

    def require(self, name: str, detail: str = "") -> str:
        """Return what `key_of` does.  Raises ModelNotFound, with *detail*, for no model's name."""
        key = self.key_of(name)
        if key is None:
            raise ModelNotFound(name, detail)
        return key

    def is_own(self, key: str) -> bool:
        """Return whether *key* is here only because it was downloaded: not by models.json."""
        return key in self._own

    def with_entry(self, key: str, spec: ModelSpec) -> "Catalog":
        """Return the catalog with an entry of models.json as it is now.  Raises CatalogError."""
        if self.is_own(key):
            raise CatalogError(f"models.json: {key}: a model that was downloaded has this name")
        return Catalog({**self._specs, key: spec}, self._own)

    def with_download(self, key: str, spec: ModelSpec) -> "Catalog":
        """Return the catalog with a model that was downloaded.  Raises CatalogError."""
        return Catalog({**self._specs, key: spec}, {*self._own, key})

    def without(self, key: str) -> "Catalog":
        """Return the catalog without a downloaded model, whose files are gone."""
        specs = {known: spec for known, spec in self._specs.items() if known != key}
        return Catalog(specs, self._own - {key})

    def auto_load(self) -> list[str]:
        """Return the enabled models to load at start, in load order."""
        return [key for key, spec in self.items() if spec.enabled and spec.auto_load]


def _keys_by_name(specs: Mapping[str, ModelSpec]) -> dict[str, str]:
    """Raises CatalogError for a key that is unfit, and for a name that two models have."""
    keys: dict[str, str] = {}
    for key, spec in specs.items():
        if (reason := unfit_key(key)) is not None:
            raise CatalogError(f"models.json: {key}: {reason}")
        for name in sorted(spec.names(key)):
            owner = keys.setdefault(name, key)
            if owner != key:
                raise CatalogError(f"models.json: {key}: the name {name!r} is also {owner}'s")
    return keys


def unfit_key(key: str) -> str | None:
    """Why *key* cannot be a model's key; None when it can."""
    if "token" in key:
        return "a key must not hold 'token': TorchServe takes its calls for calls of its token API"
    return None


def load_catalog(path: Path, downloaded: Mapping[str, Downloaded] = NONE_DOWNLOADED) -> Catalog:
    """The catalog in *path*, with the *downloaded* models that it does not have itself.

    Raises CatalogError naming the entry and the field.
    """
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise CatalogError(f"{path}: {exc.strerror}") from exc
    specs = parse_specs(data, path.name)
    together = merged(
        specs, {key: each for key, each in downloaded.items() if unfit_key(key) is None}
    )
    return Catalog(together, own=together.keys() - specs.keys())


def parse_catalog(data: bytes, name: str = "models.json") -> Catalog:
    """The catalog that *data* holds.  Raises CatalogError naming the entry and the field."""
    return Catalog(parse_specs(data, name))


def parse_specs(data: bytes, name: str) -> dict[str, ModelSpec]:
    """The entries of models.json.  Raises CatalogError naming the entry and the field."""
    try:
        file = msgspec.json.decode(data, type=CatalogFile)
    except msgspec.DecodeError as exc:
        raise CatalogError(f"{name}: {exc}") from exc
    specs: dict[str, ModelSpec] = {}
    for key, raw in file.models.items():
        try:
            specs[key] = msgspec.json.decode(raw, type=ModelSpec)
        except msgspec.DecodeError as exc:
            raise CatalogError(f"{name}: {key}: {exc}") from exc
    return specs


def catalog_schema() -> dict[str, object]:
    """The JSON Schema of models.json, for editors."""
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
