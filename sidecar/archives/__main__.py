"""Builds the archives that are missing or out of date: `python -m sidecar.archives`."""

import argparse
import sys
from pathlib import Path

import msgspec

from sidecar.archives import archive
from sidecar.catalog.catalog import Catalog, catalog_schema, load_catalog
from sidecar.catalog.downloaded import DownloadedModels
from sidecar.catalog.entries import CatalogError
from sidecar.catalog.model_store import archive_path
from sidecar.errors import ModelNotFound
from sidecar.schemas.model_spec import ModelSpec
from sidecar.schemas.models import Version
from sidecar.settings import Settings, SettingsError, load_settings


def main(arguments: list[str]) -> int:
    """Return the exit code: 0 built or current, 1 a build failed, 2 wrong settings or catalog."""
    parser = argparse.ArgumentParser(
        prog="scripts/build_archives", description=__doc__.partition(":")[0]
    )
    parser.add_argument(
        "models",
        nargs="*",
        help="keys or names (default: all enabled models; optional ones if they were built before)",
    )
    parser.add_argument(
        "--version", type=_version, help="build this version of one model beside its own"
    )
    parser.add_argument("--force", action="store_true", help="build even what is current")
    parser.add_argument("--schema", type=Path, help="write the JSON Schema of models.json and stop")
    options = parser.parse_args(arguments)
    if options.schema:
        schema = msgspec.json.format(msgspec.json.encode(catalog_schema()), indent=2)
        options.schema.write_bytes(schema + b"\n")
        return 0
    if options.version and len(options.models) != 1:
        parser.error("--version requires exactly one model")
    try:
        settings = load_settings()
        downloaded = DownloadedModels(settings.state_dir)
        catalog = load_catalog(settings.models_file, downloaded.records(), settings.model_store)
        keys = [_key(catalog, name) for name in options.models]
    except (SettingsError, CatalogError) as exc:
        print(f"build_archives: {exc}", file=sys.stderr)  # noqa: T201
        return 2
    wrong = [] if keys else list(catalog.broken.values())
    for sentence in wrong:
        print(f"build_archives: {sentence}", file=sys.stderr)  # noqa: T201
    keys = keys or [key for key in catalog if _is_wanted(settings, catalog[key], key, downloaded)]
    failures = [
        key
        for key in keys
        if not _build(settings, catalog, key, force=options.force, version=options.version)
    ]
    return 1 if failures or wrong else 0


def _version(text: str) -> str:
    try:
        return msgspec.convert(text, Version)
    except msgspec.ValidationError:
        raise argparse.ArgumentTypeError("must be numbers with dots, such as 2.0") from None


def _key(catalog: Catalog, name: str) -> str:
    try:
        return catalog.require(name)
    except ModelNotFound as exc:
        raise CatalogError(f"{name}: {exc.rule}") from exc


def _is_wanted(settings: Settings, spec: ModelSpec, key: str, downloaded: DownloadedModels) -> bool:
    """Return whether a model is built by default.

    A downloaded one is if its files are here, and an optional one if it was built before: the
    handler in its archive must stay as new as the server.
    """
    if spec.is_own:
        return False
    if spec.is_downloaded:
        return spec.enabled and downloaded.to_build(key, spec) is not None
    built = archive_path(settings.model_store, key).exists()
    return spec.enabled and (built or not spec.optional)


def _build(
    settings: Settings, catalog: Catalog, key: str, *, force: bool, version: str | None
) -> bool:
    spec, base = catalog[key], settings.models_file.resolve().parent
    path = archive_path(settings.model_store, key, version)
    downloaded = DownloadedModels(settings.state_dir)
    if (files := downloaded.to_build(key, spec)) is not None:
        spec, base = files, downloaded.base
    elif spec.is_downloaded:
        print(f"build_archives: {key} is not here; scripts/models download {key}", file=sys.stderr)  # noqa: T201
        return False
    if spec.is_own:
        print(f"build_archives: {key}: torch-model-archiver makes its archive", file=sys.stderr)  # noqa: T201
        return False
    try:
        if version is not None:
            spec = msgspec.structs.replace(spec, version=version)
        if not force and archive.is_current(path, key, spec, base):
            return True
        print(f"building {path}", file=sys.stderr)  # noqa: T201
        archive.build(path, key, spec, base=base, cache=settings.state_dir / "packages")
    except archive.BuildError as exc:
        print(f"build_archives: {key}: {exc}", file=sys.stderr)  # noqa: T201
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
