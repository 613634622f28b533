"""Who leaves for whom."""

from typing import Any

import pytest

from sidecar.autoscaling.eviction import Budget, Resident, room_for


def resident(key: str, mb: float = 100, used_at: float = 0, **more: Any) -> Resident:
    values = {"load_priority": 100} | more
    return Resident(key=key, memory_mb=mb, used_at=used_at, **values)


OLD, NEW = resident("old", used_at=1), resident("new", used_at=2)


@pytest.mark.parametrize(
    ("needed", "residents", "budget", "leaving"),
    [
        (50, [OLD, NEW], Budget(), []),
        (50, [OLD, NEW], Budget(memory_mb=250), []),
        (50, [NEW, OLD], Budget(memory_mb=249), ["old"]),
        (150, [NEW, OLD], Budget(memory_mb=249), ["old", "new"]),
        (250, [OLD, NEW], Budget(memory_mb=249), None),
        (50, [OLD, NEW], Budget(models=3), []),
        (50, [NEW, OLD], Budget(models=2), ["old"]),
        (50, [], Budget(models=1), []),
        (50, [resident("a", load_priority=1, used_at=1), NEW], Budget(models=2), ["new"]),
        (50, [resident("pinned", pinned=True), NEW], Budget(models=2), ["new"]),
        (50, [resident("busy", busy=True), NEW], Budget(models=2), ["new"]),
        (50, [resident("busy", busy=True)], Budget(models=1), None),
        (50, [resident("pinned", pinned=True)], Budget(memory_mb=120), None),
    ],
)
def test_the_least_needed_leaves_first_and_who_is_needed_stays(
    needed: float, residents: list[Resident], budget: Budget, leaving: list[str] | None
) -> None:
    assert room_for(needed, residents, budget) == leaving
