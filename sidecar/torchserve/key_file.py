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
    """TorchServe's tokens, remembered until `reload`.  *path* None: tokens are off.

    *known* has what `read` returns, once TorchServe has written it.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.known: dict[Purpose, str] = {}

    def headers(self, purpose: Purpose) -> dict[str, str]:
        """Return the headers that open one of the two guarded APIs."""
        authorization = self.read(purpose)
        return {"Authorization": authorization} if authorization else {}

    def read(self, purpose: Purpose) -> str:
        """Return the value of the header Authorization; empty without a token."""
        if not self.known and self._path is not None:
            try:
                keys = msgspec.json.decode(self._path.read_bytes(), type=_Keys)
            except (OSError, msgspec.DecodeError):
                return ""  # not written yet, or half written: the next call looks again
            self.known["inference"] = f"Bearer {keys.inference.key}"
            self.known["management"] = f"Bearer {keys.management.key}"
        return self.known.get(purpose, "")

    def reload(self) -> None:
        """Forget the tokens: TorchServe was restarted, or did not know them."""
        self.known.clear()
