"""`--check-config`: whether the program could start, and which settings are in force."""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from sidecar.access.authenticator import build_authenticator
from sidecar.access.signing_keys import check_algorithm, uses_development_secret
from sidecar.catalog.catalog import Catalog, load_catalog
from sidecar.catalog.downloaded import DownloadedModels
from sidecar.catalog.entries import CatalogError
from sidecar.catalog.entry_files import find_fault
from sidecar.catalog.model_store import archive_path
from sidecar.catalog.torchserve_config import FOLDER, NOTHING, take_over
from sidecar.settings import ENVIRONMENT_PREFIX, Effective, Secret, Settings, SettingsError
from sidecar.validation import suggestion

PASSWORD = re.compile(r"(?<=://)[^/@\s]+(?=@)")  # of an address: ``https://user:password@host``


def check_configuration(settings: Settings) -> None:
    """Check whether the program could start, without making or changing anything.

    Raises SettingsError, CatalogError or OSError with a sentence.
    """
    downloaded = DownloadedModels(settings.state_dir)
    catalog = load_catalog(
        settings.models_file, downloaded.records(), settings.model_store, to_be_built=True
    )
    faults = [*catalog.broken.values(), *_file_faults(settings, catalog)]
    if faults:
        raise CatalogError("\n".join(faults))
    check_algorithm(settings)
    if not uses_development_secret(settings):  # that one is made at the first start
        build_authenticator(settings)
    _check_default_models(settings, catalog)
    _check_folders(settings)
    config = settings.torchserve_config
    if settings.torchserve == "managed" and not config.is_file():
        raise SettingsError(f"SIDECAR_TORCHSERVE_CONFIG: {config}: no such file")


def take_over_config(
    effective: Effective,
    path: Path | None,
    say: Callable[[str], None],
    *,
    keep: bool,
    given: Mapping[str, str] = NOTHING,
    environ: Mapping[str, str] = os.environ,
) -> Effective:
    """Return the settings with what TorchServe's config.properties at *path* says.

    The properties *given* on the command line count before it, and so does what was set beside it.
    Every key is told with what was done with it.  The models and properties are written into the
    state folder, unless this is only a check (not *keep*).  *environ* has the variables that the
    file may name.  Raises SettingsError.
    """
    settings, sources = effective.settings, effective.sources
    if settings.torchserve != "managed":
        raise SettingsError(
            "TorchServe's own options require --torchserve managed, which scripts/serve sets"
        )
    base = settings.torchserve_config.read_text(encoding="utf-8")
    taken = take_over(path, settings.model_store, base, given, environ)
    source = "command line" if path is None else path.name
    changed = taken.write(settings.state_dir / FOLDER, base) if keep else taken.settings
    for line in taken.lines:
        say(f"{source}: {line}")
    for name in sorted(changed.keys() & sources.keys()):
        say(f"{source}: {name} is as {sources[name]} says: {getattr(settings, name)}")
    new = {name: value for name, value in changed.items() if name not in sources}
    return Effective(
        msgspec.structs.replace(settings, **new), {**sources, **dict.fromkeys(new, "ts-config")}
    )


def _file_faults(settings: Settings, catalog: Catalog) -> list[str]:
    """Return what is wrong with files of entries that have no archive yet."""
    base = settings.models_file.resolve().parent
    return [
        f"{settings.models_file.name}: {key}: {fault}"
        for key, spec in catalog.items()
        if spec.enabled
        and not spec.can_be_missing
        and not archive_path(settings.model_store, key).exists()
        and (fault := find_fault(spec, base)) is not None
    ]


def _check_default_models(settings: Settings, catalog: Catalog) -> None:
    """Refuse a chosen default model that does not exist; an operator's catalog may lack our own."""
    usual = Settings()
    tasks = {"default_tts_model": "speech_synthesis", "default_asr_model": "speech_recognition"}
    for name, task in tasks.items():
        chosen = getattr(settings, name)
        if chosen == getattr(usual, name):
            continue
        variable, key = f"{ENVIRONMENT_PREFIX}{name.upper()}", catalog.key_of(chosen)
        able = [each for each, spec in catalog.items() if spec.task == task]
        if key is None:
            raise SettingsError(
                f"{variable}: {settings.models_file.name} has no model {chosen}"
                f"{suggestion(chosen, able)}"
            )
        if key not in able:
            raise SettingsError(f"{variable}: {chosen} does not do {task}{suggestion('', able)}")


def _check_folders(settings: Settings) -> None:
    """Refuse folders that others fill and that are not there; ours are made where missing."""
    usual = Settings()
    for name in ("local_models_dir", "model_store"):
        folder = getattr(settings, name)
        if folder != getattr(usual, name) and not folder.is_dir():
            variable = f"{ENVIRONMENT_PREFIX}{name.upper()}"
            raise SettingsError(f"{variable}: {folder}: there is no such folder")
    for name in ("state_dir", "log_dir"):
        folder = getattr(settings, name)
        if folder is not None and not _can_be_made(folder.absolute()):
            variable = f"{ENVIRONMENT_PREFIX}{name.upper()}"
            raise SettingsError(f"{variable}: {folder}: it is not a folder, or cannot be made")


def _can_be_made(folder: Path) -> bool:
    while not folder.exists():
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK)


def explain_configuration(effective: Effective) -> str:
    """Return a line for each setting, as TOML, with the source of its value."""
    lines = []
    for name in Settings.__struct_fields__:
        value = getattr(effective.settings, name)
        source = effective.sources.get(name, "default")
        line = f"# {name} is not set" if value is None else f"{name} = {_shown(value)}"
        lines.append(f"{line:<50}  # {source}")
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(_shown(each) for each in value)}]"
    if isinstance(value, Secret):
        return '"***"'
    if isinstance(value, str | Path):
        text = PASSWORD.sub("***", str(value)).replace("\\", "\\\\").replace('"', '\\"')
        return f'"{text}"'
    return f"{value:g}" if isinstance(value, float) else str(value)
