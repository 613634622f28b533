"""models.json, read and checked; and the names by which people ask for a model."""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from sidecar.catalog.downloaded import Downloaded, merged
from sidecar.schemas.model_spec import CatalogFile, ModelSpec, folded

NONE_DOWNLOADED: Mapping[str, Downloaded] = {}


class CatalogError(ValueError):
    """models.json is wrong; the message names the entry and the field."""


class Catalog(Mapping[str, ModelSpec]):
    """The models by key, in load order."""

    def __init__(self, specs: Mapping[str, ModelSpec], own: Iterable[str] = ()) -> None:
        self._own = set(own)
        self._specs: dict[str, ModelSpec] = {}
        self._keys: dict[str, str] = {}
        self._arrange(specs)

    def __getitem__(self, key: str) -> ModelSpec:
        return self._specs[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)

    def key_of(self, name: str) -> str | None:
        """The key for any of a model's names: key, hub id, alias, with hyphens or underscores."""
        return name if name in self._specs else self._keys.get(folded(name))

    def is_own(self, key: str) -> bool:
        """Whether *key* is here only because it was downloaded: models.json does not have it."""
        return key in self._own

    def add(self, key: str, spec: ModelSpec) -> None:
        """A model that was downloaded while the program runs.  Raises CatalogError."""
        self._arrange({**self._specs, key: spec})
        self._own.add(key)

    def remove(self, key: str) -> None:
        """A downloaded model whose files are gone."""
        self._own.discard(key)
        self._arrange({known: spec for known, spec in self._specs.items() if known != key})

    def _arrange(self, specs: Mapping[str, ModelSpec]) -> None:
        in_order = sorted(specs.items(), key=lambda item: (item[1].load_priority, item[0]))
        keys: dict[str, str] = {}
        for key, spec in in_order:
            if (reason := unfit_key(key)) is not None:
                raise CatalogError(f"models.json: {key}: {reason}")
            for name in sorted(spec.names(key)):
                owner = keys.setdefault(name, key)
                if owner != key:
                    raise CatalogError(f"models.json: {key}: the name {name!r} is also {owner}'s")
        self._specs, self._keys = dict(in_order), keys

    def auto_load(self) -> list[str]:
        """The enabled models to load at start, in load order."""
        return [key for key, spec in self.items() if spec.enabled and spec.auto_load]


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
