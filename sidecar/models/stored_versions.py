"""Versions that only lie in the model store: a request that asks for one has it loaded.

TorchServe loads every version of a model at its start.  Here the default alone is, and the others
come like a model that sleeps: when somebody asks for them.  Anybody may ask for any version, so
nothing is changed before the store is known to have it, and what cannot be loaded is remembered.
"""

import asyncio
import time
from collections.abc import Callable, Set
from pathlib import Path

from sidecar.catalog.model_store import Stored, stored_versions
from sidecar.errors import InvalidVersion, VersionNotFound
from sidecar.models.model import Model
from sidecar.models.operator_changes import OperatorChanges

LOOK_AGAIN_SECONDS = 5.0  # each look reads all archives
TRY_AGAIN_SECONDS = 60.0  # a version that could not be loaded


class StoredVersions:
    """Loads versions beside the default, until the model is unloaded."""

    def __init__(
        self,
        changes: OperatorChanges,
        store: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._changes = changes
        self._store = store
        self._clock = clock
        self._looking = asyncio.Lock()
        self._stored: Set[Stored] = frozenset()
        self._look_again_at = 0.0
        self._failed: dict[Stored, tuple[float, str]] = {}  # when to try again, and what was wrong

    async def load(self, model: Model, version: str) -> bool:
        """Load *version*, if the model store has it; return whether it has.

        Raises InvalidVersion, and what `OperatorChanges.load` raises.
        """
        asked = Stored(model.key, version)
        if asked not in await self._look():
            return False
        again_at, problem = self._failed.get(asked, (0.0, ""))
        if self._clock() < again_at:
            raise InvalidVersion(problem, field="version")
        try:
            await self._changes.add_version(model, version, "a request asks for a version of it")
        except VersionNotFound:
            return False
        except InvalidVersion as exc:
            self._failed[asked] = (self._clock() + TRY_AGAIN_SECONDS, exc.rule)
            raise
        return True

    async def _look(self) -> Set[Stored]:
        """Return what the store had a moment ago."""
        async with self._looking:
            if self._clock() >= self._look_again_at:
                self._stored = await asyncio.to_thread(stored_versions, self._store)
                self._look_again_at = self._clock() + LOOK_AGAIN_SECONDS
                self._failed = {
                    key: self._failed[key] for key in self._failed.keys() & self._stored
                }
        return self._stored
