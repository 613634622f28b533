"""key_file.json: the tokens that TorchServe writes into its working directory at every start."""

from pathlib import Path
from typing import Literal

import msgspec

Purpose = Literal["inference", "management"]


class _Key(msgspec.Struct):
    key: str


class _Keys(msgspec.Struct):
    management: _Key
    inference: _Key


class KeyFile:
    """TorchServe's tokens, remembered until `reload`.  *path* None: tokens are off."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._keys: _Keys | None = None

    def headers(self, purpose: Purpose) -> dict[str, str]:
        """Return the headers that open one of the two guarded APIs."""
        keys = self._load()
        return {} if keys is None else {"Authorization": f"Bearer {getattr(keys, purpose).key}"}

    def reload(self) -> None:
        """Forget the tokens: TorchServe was restarted, or did not know them."""
        self._keys = None

    def _load(self) -> _Keys | None:
        if self._keys is None and self._path is not None:
            try:
                self._keys = msgspec.json.decode(self._path.read_bytes(), type=_Keys)
            except (OSError, msgspec.DecodeError):
                return None  # not written yet, or half written: the next call looks again
        return self._keys
