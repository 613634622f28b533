"""The family of a checkpoint in the layout of the Hugging Face hub.

A module of its own, so that families without transformers need not wait seconds for its import.
"""

from pathlib import Path
from typing import Any

import msgspec

from handler_kit.errors import LoadError


def model_type(folder: Path) -> str:
    """Return the `model_type` of *folder*'s config.json.  Raises LoadError."""
    try:
        config = msgspec.json.decode((folder / "config.json").read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as exc:
        raise LoadError(f"cannot load the model: config.json: {exc}") from exc
    return str(config.get("model_type"))
