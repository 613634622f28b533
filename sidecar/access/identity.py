"""A caller whose credential was checked."""

from typing import Literal

import msgspec

SCOPES = ("stats", "admin")


class Identity(msgspec.Struct, frozen=True):
    """Who asks and what they may.  *expires_at*: epoch seconds; None: never."""

    subject: str
    scopes: frozenset[str]
    kind: Literal["jwt", "api_key"]
    expires_at: float | None = None

    def has_scope(self, name: str) -> bool:
        """Return whether this caller may do *name*; `admin` may do all."""
        return name in self.scopes or "admin" in self.scopes
