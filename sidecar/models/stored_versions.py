"""Versions that only lie in the model store: a request that asks for one has it loaded.

TorchServe loads every version of a model at its start.  Here the default alone is, and the others
come like a model that sleeps: when somebody asks for them.
"""

import time
from collections.abc import Callable

from sidecar.errors import VersionNotFound
from sidecar.models.model import Model
from sidecar.models.operator_changes import OperatorChanges

LOOK_AGAIN_SECONDS = 5.0  # for a version that was not there: each look reads all archives
MOST_REMEMBERED = 1000


class StoredVersions:
    """Loads versions beside the default, until the model is unloaded."""

    def __init__(
        self, changes: OperatorChanges, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._changes = changes
        self._clock = clock
        self._missing: dict[tuple[str, str], float] = {}  # and when to look again

    async def load(self, model: Model, version: str) -> bool:
        """Load *version*, if the model store has it; return whether it has.

        Raises InvalidVersion, and what `OperatorChanges.load` raises.
        """
        asked = (model.key, version)
        if self._clock() < self._missing.get(asked, 0.0):
            return False
        try:
            await self._changes.add_version(model, version, "a request asks for a version of it")
        except VersionNotFound:
            if len(self._missing) >= MOST_REMEMBERED:
                self._missing.clear()
            self._missing[asked] = self._clock() + LOOK_AGAIN_SECONDS
            return False
        return True
