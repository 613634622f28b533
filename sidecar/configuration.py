"""`--check-config`: whether the program could start so, and which settings it would have."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from sidecar.access.authenticator import build_authenticator
from sidecar.access.signing_keys import uses_development_secret
from sidecar.catalog.catalog import load_catalog
from sidecar.catalog.entries import CatalogError
from sidecar.catalog.torchserve_config import FOLDER, take_over
from sidecar.settings import Effective, Secret, Settings, SettingsError

PASSWORD = re.compile(r"(?<=://)[^/@\s]+(?=@)")  # of an address: ``https://user:password@host``


def check_configuration(settings: Settings) -> None:
    """Check whether the program could start, without making or changing anything.

    Raises SettingsError, CatalogError or OSError with a sentence.
    """
    broken = load_catalog(settings.models_file, store=settings.model_store).broken
    if broken:
        raise CatalogError("\n".join(broken.values()))
    if not uses_development_secret(settings):  # that one is made at the first start
        build_authenticator(settings)
    config = settings.torchserve_config
    if settings.torchserve == "managed" and not config.is_file():
        raise SettingsError(f"SIDECAR_TORCHSERVE_CONFIG: {config}: no such file")


def take_over_config(
    effective: Effective, path: Path, say: Callable[[str], None], *, keep: bool
) -> Effective:
    """Return the settings with what TorchServe's config.properties at *path* says.

    What was set beside it counts before it.  Every key is told with what was done with it.  The
    models and properties are written into the state folder, unless this is only a check (not
    *keep*).  Raises SettingsError.
    """
    settings, sources = effective.settings, effective.sources
    if settings.torchserve != "managed":
        raise SettingsError("--ts-config goes with --torchserve managed, as scripts/serve has it")
    base = settings.torchserve_config.read_text(encoding="utf-8")
    taken = take_over(path, settings.model_store, base)
    changed = taken.write(settings.state_dir / FOLDER, base) if keep else taken.settings
    for line in taken.lines:
        say(f"{path}: {line}")
    for name in sorted(changed.keys() & sources.keys()):
        say(f"{path}: {name} is as {sources[name]} says: {getattr(settings, name)}")
    new = {name: value for name, value in changed.items() if name not in sources}
    return Effective(
        msgspec.structs.replace(settings, **new), {**sources, **dict.fromkeys(new, "ts-config")}
    )


def explain_configuration(effective: Effective) -> str:
    """Return a line for each setting, as TOML; behind it, where the value came from."""
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
