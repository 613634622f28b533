"""Every model as it is now: what the routes and the autoscaler look at."""

import time
from collections.abc import Callable, Iterable

from sidecar.autoscaling.eviction import Budget, Resident, room_for
from sidecar.autoscaling.managed_model import ManagedModel
from sidecar.autoscaling.model_status import ModelStatus, Runtime
from sidecar.catalog.catalog import Catalog
from sidecar.errors import NoRoom
from sidecar.scheduling.scheduler import Scheduler


class ModelBoard:
    """One `ManagedModel` for each model of the catalog, by key."""

    def __init__(
        self,
        catalog: Catalog,
        scheduler: Scheduler,
        budget: Budget,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalog = catalog
        self._scheduler = scheduler
        self.budget = budget
        self._clock = clock
        self.models: dict[str, ManagedModel] = {}
        for key in catalog:
            self._manage(key)

    @property
    def status(self) -> dict[str, ModelStatus]:
        """Of every model, by key."""
        return {key: model.status for key, model in self.models.items()}

    @property
    def all_usable(self) -> bool:
        """Whether every auto_load model takes requests, or is woken by one."""
        return all(self.models[key].usable for key in self._catalog.auto_load())

    @property
    def active_loads(self) -> int:
        """Loads in progress."""
        return sum(model.status.state == "loading" for model in self._at_work())

    def runtimes(self) -> list[Runtime]:
        """What the handlers of all loaded models say of themselves."""
        return [each.status.runtime for each in self.models.values() if each.status.runtime]

    def revision(self, key: str) -> str:
        """What of *key* is loaded: another one, and kept results are no longer its own."""
        model = self.models[key]
        return f"{model.status.version or model.spec.version} {model.revision}"

    def worker_pids(self) -> Iterable[int]:
        """The processes of all READY workers."""
        return [pid for model in self.models.values() for pid in model.status.pids]

    def troubles(self) -> dict[str, str]:
        """Why models cannot be loaded, or keep dying."""
        now = self._clock()
        found = {key: model.crashes.trouble(now) for key, model in self.models.items()}
        found |= {key: each.error for key, each in self.status.items() if each.state == "failed"}
        return {key: text for key, text in found.items() if text}

    def residents(self) -> list[Resident]:
        """Every model in memory, but those that are about to leave it."""
        return [
            _resident(model)
            for model in self.models.values()
            if model.in_memory and not model.leaving
        ]

    def room_for(self, model: ManagedModel) -> list[str]:
        """Who has to leave memory for *model*.  Raises NoRoom."""
        leaving = room_for(model.newcomer(), self._others(model), self.budget)
        if leaving is None:
            alone = room_for(model.newcomer(), [], self.budget) is not None
            why = "the models in memory are busy or pinned" if alone else "it is too large"
            raise NoRoom(f"model_name: {model.key}: {why}")
        return leaving

    def has_room(self, model: ManagedModel, workers: int) -> bool:
        """Whether *model* may have *workers* without another one's leaving."""
        return room_for(model.newcomer(workers), self._others(model), self.budget) == []

    def _others(self, model: ManagedModel) -> list[Resident]:
        return [each for each in self.residents() if each.key != model.key]

    def _manage(self, key: str) -> ManagedModel:
        """A new start for *key*, with the catalog's entry as it is now."""
        dispatcher = self._scheduler.dispatchers.get(key)
        self.models[key] = ManagedModel(key, self._catalog[key], dispatcher)
        return self.models[key]

    def _at_work(self) -> list[ManagedModel]:
        return [model for model in self.models.values() if model.operation is not None]


def _resident(model: ManagedModel) -> Resident:
    changes = model.operation is not None
    return Resident(
        key=model.key,
        memory_mb=model.memory_mb * max(len(model.status.workers), model.workers if changes else 1),
        gpu_memory_mb=model.held_gpu_mb if model.status.workers else {},
        arriving=None if model.status.workers else model.newcomer(),
        used_at=model.dispatcher.used_at,
        load_priority=model.spec.load_priority,
        pinned=model.spec.pinned,
        busy=model.busy or changes,
    )
