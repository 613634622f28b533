"""Which models make room for another.  Pure."""

from collections.abc import Sequence

import msgspec


class Resident(msgspec.Struct, frozen=True, kw_only=True):
    """One model in memory.  *used_at*: when it was last asked, on any clock."""

    key: str
    memory_mb: float
    used_at: float
    load_priority: int
    pinned: bool = False
    busy: bool = False


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What all models in memory may have together; None: no limit."""

    memory_mb: float | None = None
    models: int | None = None


def room_for(needed_mb: float, residents: Sequence[Resident], budget: Budget) -> list[str] | None:
    """Whom to unload, in order, so that *needed_mb* fit; None when even all would not do.

    Those whose load priority is lowest (the largest number) go first, of equal ones who was
    asked longest ago.  Pinned and busy ones stay.
    """
    kept = sum(each.memory_mb for each in residents)
    count = len(residents)
    leaving: list[str] = []
    movable = [each for each in residents if not each.pinned and not each.busy]
    candidates = sorted(movable, key=lambda each: (-each.load_priority, each.used_at))
    while not _fits(kept + needed_mb, count + 1, budget):
        if not candidates:
            return None
        leaves = candidates.pop(0)
        leaving.append(leaves.key)
        kept -= leaves.memory_mb
        count -= 1
    return leaving


def _fits(memory_mb: float, models: int, budget: Budget) -> bool:
    return (budget.memory_mb is None or memory_mb <= budget.memory_mb) and (
        budget.models is None or models <= budget.models
    )
