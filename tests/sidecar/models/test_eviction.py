"""Who leaves for whom."""

from typing import Any

import pytest

from sidecar.models.eviction import Budget, Newcomer, Resident, room_for, surplus


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
        (
            100,
            [resident("small", 10), resident("large", 200, used_at=1)],
            Budget(memory_mb=150),
            ["large"],
        ),
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
def test_the_least_needed_model_is_evicted_first_and_needed_ones_stay(
    needed: float, residents: list[Resident], budget: Budget, leaving: list[str] | None
) -> None:
    assert room_for(Newcomer(workers=1, memory_mb=needed), residents, budget) == leaving


ON_0 = resident("on_0", used_at=1, gpu_memory_mb={0: 30.0})
ON_1 = resident("on_1", used_at=2, gpu_memory_mb={1: 30.0})
OFF_GPUS = resident("off_gpus", used_at=0)


@pytest.mark.parametrize(
    ("newcomer", "residents", "leaving"),
    [
        ({"gpu_memory_mb": 10}, [ON_0, ON_1, OFF_GPUS], []),
        ({"gpu_memory_mb": 20}, [ON_0, ON_1, OFF_GPUS], ["on_0"]),
        ({"gpu_memory_mb": 20, "gpus": [1]}, [ON_0, ON_1, OFF_GPUS], ["on_1"]),
        ({"gpu_memory_mb": 20, "workers": 2}, [ON_0, ON_1], ["on_0"]),
        ({"gpu_memory_mb": 30, "workers": 2}, [ON_0, ON_1], ["on_0", "on_1"]),
        ({"gpu_memory_mb": 20, "workers": 4}, [], []),
        ({"gpu_memory_mb": 20, "workers": 5}, [], None),
        ({"gpu_memory_mb": 41}, [], None),
        ({"gpu_memory_mb": 41, "gpus": [7]}, [], []),
        ({"gpu_memory_mb": 0, "workers": 9}, [ON_0], []),
    ],
)
def test_every_worker_needs_room_on_one_gpu(
    newcomer: dict[str, Any], residents: list[Resident], leaving: list[str] | None
) -> None:
    asks = Newcomer(**({"workers": 1, "memory_mb": 1} | newcomer))
    assert room_for(asks, residents, Budget(gpu_memory_mb=[40, 40])) == leaving


def test_a_loading_model_counts_for_the_budget() -> None:
    loading = Newcomer(workers=1, memory_mb=1, gpu_memory_mb=30)
    residents = [resident("loading", busy=True, arriving=loading)]
    asks = Newcomer(workers=1, memory_mb=1, gpu_memory_mb=30)
    assert room_for(asks, residents, Budget(gpu_memory_mb=[40, 40])) == []
    assert room_for(asks, residents, Budget(gpu_memory_mb=[40])) is None


@pytest.mark.parametrize(
    ("residents", "budget", "leaving"),
    [
        ([OLD, NEW], Budget(), []),
        ([OLD, NEW], Budget(memory_mb=200), []),
        ([NEW, OLD], Budget(memory_mb=199), ["old"]),
        ([NEW, OLD], Budget(memory_mb=99), ["old", "new"]),
        ([resident("pinned", 150, pinned=True), NEW], Budget(memory_mb=200), ["new"]),
        ([resident("busy", 300, busy=True)], Budget(memory_mb=200), []),
        ([resident("first", used_at=0, load_priority=1), NEW], Budget(memory_mb=100), ["new"]),
        ([OLD, NEW], Budget(models=1), []),  # as many as there may be are loaded at the most
        (
            [resident("a", gpu_memory_mb={0: 60}, used_at=1), resident("b", gpu_memory_mb={0: 60})],
            Budget(gpu_memory_mb=[100]),
            ["b"],
        ),
    ],
)
def test_surplus_returns_the_models_that_exceed_the_budget(
    residents: list[Resident], budget: Budget, leaving: list[str]
) -> None:
    assert surplus(residents, budget) == leaving
