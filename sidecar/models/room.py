"""Whether a model finds room in memory, and who has to leave for it."""

from sidecar.errors import NoRoom
from sidecar.models.eviction import Budget, Resident, room_for
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
        return [
            _resident(model)
            for model in self._models.values()
            if model.in_memory and not model.leaving
        ]

    def leaving_for(self, model: Model) -> list[str]:
        """Return who has to leave memory for *model*.  Raises NoRoom."""
        leaving = room_for(model.newcomer(), self._others(model), self.budget)
        if leaving is None:
            alone = room_for(model.newcomer(), [], self.budget) is not None
            why = "the models in memory are busy or pinned" if alone else "it is too large"
            raise NoRoom(f"model_name: {model.key}: {why}")
        return leaving

    def has_room(self, model: Model, workers: int) -> bool:
        """Return whether *model* may have *workers* without another one's leaving."""
        return room_for(model.newcomer(workers), self._others(model), self.budget) == []

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


def _resident(model: Model) -> Resident:
    changes = model.operation is not None
    workers = max(len(model.workers), model.target_workers if changes else 1)
    return Resident(
        key=model.key,
        memory_mb=model.memory_mb * workers,
        gpu_memory_mb=model.held_gpu_mb if model.workers else {},
        arriving=None if model.workers else model.newcomer(),
        used_at=model.dispatcher.used_at,
        load_priority=model.spec.load_priority,
        pinned=model.spec.pinned,
        busy=model.busy or changes,
    )
