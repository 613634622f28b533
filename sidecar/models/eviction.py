"""Which models make room for another.  Pure."""

from collections.abc import Mapping, Sequence

import msgspec


class Newcomer(msgspec.Struct, frozen=True, kw_only=True):
    """One model that is to come into memory: what each of its *workers* needs.

    A worker runs on one of *gpus*, or on any if there are none named.
    """

    workers: int
    memory_mb: float
    gpu_memory_mb: float = 0.0
    gpus: Sequence[int] = ()


class Resident(msgspec.Struct, frozen=True, kw_only=True):
    """One model in memory.  *used_at*: when it was last asked, on any clock.

    *gpu_memory_mb* is what all its workers hold, by GPU; *arriving*: it is still loading, and
    takes of the GPUs what it needs.
    """

    key: str
    memory_mb: float
    used_at: float
    load_priority: int
    gpu_memory_mb: Mapping[int, float] = {}
    arriving: Newcomer | None = None
    pinned: bool = False
    busy: bool = False


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What all models in memory may have together; None: no limit.

    *gpu_memory_mb* is what they may have of each GPU; none named: no limit.
    """

    memory_mb: float | None = None
    models: int | None = None
    gpu_memory_mb: Sequence[float] = ()


def room_for(newcomer: Newcomer, residents: Sequence[Resident], budget: Budget) -> list[str] | None:
    """Return which models to unload, in order, so that *newcomer* fits; None if it never would.

    Models with the lowest load priority (the largest number) go first, and among equals the least
    recently used.  Pinned and busy models stay, and so do those whose leaving would free nothing.
    """
    staying = [each for each in residents if each.pinned or each.busy]
    if not _fits(newcomer, staying, budget):
        return None
    movable = [each for each in residents if each not in staying]
    leaving: list[str] = []
    for each in sorted(movable, key=lambda each: (each.load_priority, -each.used_at)):
        if _fits(newcomer, [*staying, each], budget):
            staying.append(each)
        else:
            leaving.insert(0, each.key)
    return leaving


def surplus(residents: Sequence[Resident], budget: Budget) -> list[str]:
    """Return which models have to leave because *residents* turned out larger than *budget*.

    The choice is that of `room_for`; pinned and busy models stay, and are counted.
    """
    staying = [each for each in residents if each.pinned or each.busy]
    leaving: list[str] = []
    movable = [each for each in residents if each not in staying]
    for each in sorted(movable, key=lambda each: (each.load_priority, -each.used_at)):
        if _holds([*staying, each], budget):
            staying.append(each)
        else:
            leaving.insert(0, each.key)
    return leaving


def _holds(residents: Sequence[Resident], budget: Budget) -> bool:
    """Return whether what *residents* hold is within *budget*, however many they are."""
    memory_mb = sum(each.memory_mb for each in residents)
    gpus_mb = [
        sum(each.gpu_memory_mb.get(gpu, 0.0) for each in residents)
        for gpu in range(len(budget.gpu_memory_mb))
    ]
    within = all(held <= most for held, most in zip(gpus_mb, budget.gpu_memory_mb, strict=True))
    return within and (budget.memory_mb is None or memory_mb <= budget.memory_mb)


def _fits(newcomer: Newcomer, staying: Sequence[Resident], budget: Budget) -> bool:
    memory_mb = newcomer.workers * newcomer.memory_mb + sum(each.memory_mb for each in staying)
    return (
        (budget.memory_mb is None or memory_mb <= budget.memory_mb)
        and (budget.models is None or len(staying) + 1 <= budget.models)
        and _fits_gpus(newcomer, staying, budget.gpu_memory_mb)
    )


def _fits_gpus(newcomer: Newcomer, staying: Sequence[Resident], budget_mb: Sequence[float]) -> bool:
    """Return whether the GPUs have room, if each worker takes the GPU with most memory free."""
    free = [
        mb - sum(each.gpu_memory_mb.get(gpu, 0.0) for each in staying)
        for gpu, mb in enumerate(budget_mb)
    ]
    arriving = [each.arriving for each in staying if each.arriving is not None]
    for one in (*arriving, newcomer):
        allowed = [gpu for gpu in range(len(free)) if not one.gpus or gpu in one.gpus]
        for _ in range(one.workers if allowed and one.gpu_memory_mb else 0):
            roomiest = max(allowed, key=free.__getitem__)
            free[roomiest] -= one.gpu_memory_mb
            if free[roomiest] < 0:
                return False
    return True
