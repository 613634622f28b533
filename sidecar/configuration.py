"""`--check-config`: whether the program could start so, and which settings it would have."""

import re
from pathlib import Path
from typing import Any

from sidecar.access.authenticator import build_authenticator
from sidecar.access.signing_keys import uses_development_secret
from sidecar.catalog.catalog import load_catalog
from sidecar.catalog.entries import CatalogError
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
