"""Where archives lie."""

from pathlib import Path


def archive_path(store: Path, key: str) -> Path:
    """Where *key*'s archive lies in the model store."""
    return store / f"{key}.mar"
