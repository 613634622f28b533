"""Whether a model finds room in memory, and who has to leave for it."""

import msgspec

from sidecar.errors import NoRoom
from sidecar.models.eviction import Budget, Newcomer, Resident, room_for, surplus
from sidecar.models.model import Model
from sidecar.models.registry import ModelRegistry
from sidecar.settings import Settings
from sidecar.telemetry.gpus import Gpus


class MemoryRoom:
    """What the models in memory leave of *budget*."""

    def __init__(self, models: ModelRegistry, budget: Budget) -> None:
        self._models = models
        self.budget = budget

    def residents(self) -> list[Resident]:
        """Return every model in memory, but those that are about to leave it."""
        lightest_mb = self._lightest_mb()
        return [
            _resident(model, lightest_mb)
            for model in self._models.values()
            if model.in_memory and not model.leaving
        ]

    def leaving_for(self, model: Model) -> list[str]:
        """Return which models have to leave memory for *model*.  Raises NoRoom."""
        newcomer = self._newcomer(model)
        leaving = room_for(newcomer, self._others(model), self.budget)
        if leaving is None:
            alone = room_for(newcomer, [], self.budget) is not None
            why = "the models in memory are busy or pinned" if alone else self._too_large(newcomer)
            raise NoRoom(f"{model.key}: {why}", field="model_name")
        return leaving

    def has_room(self, model: Model, workers: int) -> bool:
        """Return whether *model* may have *workers* without evicting another."""
        return room_for(self._newcomer(model, workers), self._others(model), self.budget) == []

    def surplus(self) -> list[str]:
        """Return which models have to leave because all together exceed the budget."""
        return surplus(self.residents(), self.budget)

    def measured_mb(self) -> float | None:
        """Return what all READY workers hold; None while one of them was not measured."""
        held = [
            model.worker_memory_mb(worker)
            for model in self._models.values()
            for worker in model.workers
        ]
        known = [each for each in held if each is not None]
        return sum(known) if len(known) == len(held) else None

    def _newcomer(self, model: Model, workers: int | None = None) -> Newcomer:
        """Return what *model* needs; if that is unknown, what any worker needs at least.

        That is what the lightest worker that was measured holds: each of them holds torch.
        """
        newcomer = model.newcomer(workers)
        if newcomer.memory_mb:
            return newcomer
        return msgspec.structs.replace(newcomer, memory_mb=self._lightest_mb())

    def _lightest_mb(self) -> float:
        held = [
            model.worker_memory_mb(worker) or 0.0
            for model in self._models.values()
            for worker in model.workers
        ]
        return min(filter(None, held), default=0.0)

    def _too_large(self, newcomer: Newcomer) -> str:
        needed_mb, most_mb = newcomer.workers * newcomer.memory_mb, self.budget.memory_mb
        if most_mb is None or needed_mb <= most_mb:
            return "it is too large for any GPU's budget"
        return f"it is too large: it needs {needed_mb:.0f} MB, and the budget is {most_mb:g} MB"

    def _others(self, model: Model) -> list[Resident]:
        return [each for each in self.residents() if each.key != model.key]


def memory_budget(settings: Settings, gpus: Gpus) -> Budget:
    """Return the budget that the settings give; of a GPU nobody gets more than it has."""
    most = settings.gpu_memory_budget_mb
    return Budget(
        memory_mb=settings.memory_budget_mb,
        models=settings.max_loaded_models,
        gpu_memory_mb=[] if most is None else [min(most, size) for size in gpus.sizes_mb()],
    )


def _resident(model: Model, lightest_mb: float) -> Resident:
    """Return what *model* holds: as measured, with a guess for workers that are still to come."""
    changes = model.operation is not None
    workers = max(len(model.workers), model.target_workers if changes else 1)
    each_mb = model.memory_mb or lightest_mb
    held_mb = [model.worker_memory_mb(worker) or each_mb for worker in model.workers]
    return Resident(
        key=model.key,
        memory_mb=sum(held_mb) + each_mb * (workers - len(held_mb)),
        gpu_memory_mb=model.held_gpu_mb if model.workers else {},
        arriving=None if model.workers else model.newcomer(),
        used_at=model.dispatcher.used_at,
        load_priority=model.spec.load_priority,
        pinned=model.spec.pinned,
        busy=model.busy or changes,
    )
