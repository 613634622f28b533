"""models.json, read and checked; and the names by which people ask for a model."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from sidecar.schemas.model_spec import CatalogFile, ModelSpec


class CatalogError(ValueError):
    """models.json is wrong; the message names the entry and the field."""


class Catalog(Mapping[str, ModelSpec]):
    """The models by key, in load order."""

    def __init__(self, specs: Mapping[str, ModelSpec]) -> None:
        in_order = sorted(specs.items(), key=lambda item: (item[1].load_priority, item[0]))
        self._specs = dict(in_order)
        self._keys: dict[str, str] = {}
        for key, spec in self._specs.items():
            for name in (key, *spec.aliases, *filter(None, [spec.model_id])):
                owner = self._keys.setdefault(_folded(name), key)
                if owner != key:
                    raise CatalogError(f"models.json: {key}: the name {name!r} is also {owner}'s")

    def __getitem__(self, key: str) -> ModelSpec:
        return self._specs[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)

    def key_of(self, name: str) -> str | None:
        """The key for any of a model's names: key, hub id, alias, with hyphens or underscores."""
        return name if name in self._specs else self._keys.get(_folded(name))

    def auto_load(self) -> list[str]:
        """The enabled models to load at start, in load order."""
        return [key for key, spec in self.items() if spec.enabled and spec.auto_load]


def load_catalog(path: Path) -> Catalog:
    """The catalog in *path*.  Raises CatalogError naming the entry and the field."""
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise CatalogError(f"{path}: {exc.strerror}") from exc
    return parse_catalog(data, name=path.name)


def parse_catalog(data: bytes, name: str = "models.json") -> Catalog:
    """The catalog that *data* holds.  Raises CatalogError naming the entry and the field."""
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
    return Catalog(specs)


def catalog_schema() -> dict[str, object]:
    """The JSON Schema of models.json, for editors."""
    schema = msgspec.json.schema(CatalogFile)
    definitions = schema["$defs"]
    (specs,), entries = msgspec.json.schema_components([ModelSpec], ref_template="#/$defs/{name}")
    definitions.update(entries)
    definitions["CatalogFile"]["properties"]["models"]["additionalProperties"] = specs
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "models.json"
    return schema


def _folded(name: str) -> str:
    return name.lower().replace("-", "_")
