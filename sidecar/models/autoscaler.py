"""Adjusts the number of every model's workers once a second: read, decide, act."""

import asyncio
import time
from collections.abc import Callable

from sidecar.models.model import Model
from sidecar.models.operations import Operations
from sidecar.models.registry import ModelRegistry
from sidecar.models.room import MemoryRoom
from sidecar.models.scaling import ScalingPolicy, Workload, desired_workers, fewer_would_do
from sidecar.models.states import State
from sidecar.schemas.autoscaler import AutoscalerConfigBody
from sidecar.timing import was_late


class Autoscaler:
    """Scales models between their limits, and puts idle ones to sleep.  *config* may change."""

    def __init__(
        self,
        models: ModelRegistry,
        operations: Operations,
        room: MemoryRoom,
        config: AutoscalerConfigBody,
        check_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self._models = models
        self._operations = operations
        self._room = room
        self._check_seconds = check_seconds
        self._clock = clock
        self._quiet_since: dict[str, float] = {}

    async def run(self) -> None:
        """Think at regular intervals until cancelled."""
        while True:
            began = self._clock()
            await asyncio.sleep(self._check_seconds)
            # Requests that came while this process stood still are unread: no model is idle.
            if not was_late(self._check_seconds, self._clock() - began):
                self.think()

    def think(self) -> None:
        """Scale, once, every model that is ready and has no operation under way."""
        self._keep_the_budget()
        if not self.config.enabled:
            return
        for model in self._models.values():
            if model.state is State.READY and model.operation is None:
                self._think_over(model)

    def _keep_the_budget(self) -> None:
        """Put models to sleep when all together turned out larger than the budget.

        What a model needs is known once it is loaded; until then it is an estimate.
        """
        for key in self._room.surplus():
            model = self._models[key]
            if model.state is State.READY and model.operation is None:
                self._operations.put_to_sleep(
                    model, "the models hold more memory than the budget allows"
                )

    def _think_over(self, model: Model) -> None:
        policy, load = self._policy(model), self._load(model)
        wanted = desired_workers(policy, load)
        if not fewer_would_do(policy, load):
            self._quiet_since.pop(model.key, None)
        if wanted == load.workers:
            return
        if wanted == 0:
            self._operations.put_to_sleep(model, f"idle for {load.idle_for:.0f} s")
            return
        if wanted > load.workers and not self._room.has_room(model, wanted):
            return
        reason = f"{load.queued} wait, the first for {load.first_waits:.1f} s"
        self._operations.scale(model, wanted, reason)
        self._quiet_since.pop(model.key, None)

    def idle_seconds(self, model: Model) -> float | None:
        """Return how long nobody has asked *model*; None while it is not loaded."""
        if not model.loaded:
            return None
        used_at = max(model.dispatcher.used_at, model.awake_since)
        return round(self._clock() - used_at, 3)

    def _policy(self, model: Model) -> ScalingPolicy:
        inference, config = model.spec.inference, self.config
        sleeps = config.zero_scaling_enabled and not model.spec.pinned
        return ScalingPolicy(
            min_workers=inference.workers.min,
            max_workers=inference.workers.max,
            max_batch_size=inference.max_batch_size,
            up_wait=config.thresholds.queue_wait_seconds,
            up_jobs=config.thresholds.queue_jobs_per_worker,
            down_quiet=config.cooldowns.quiet_seconds,
            up_cooldown=config.cooldowns.scale_up_seconds,
            down_cooldown=config.cooldowns.scale_down_seconds,
            idle_seconds=model.spec.idle_seconds if sleeps else None,
        )

    def _load(self, model: Model) -> Workload:
        now, dispatcher = self._clock(), model.dispatcher
        return Workload(
            workers=len(model.workers),
            queued=len(dispatcher.queue),
            in_flight=dispatcher.in_flight,
            first_waits=dispatcher.first_waits,
            idle_for=self.idle_seconds(model) or 0.0,
            quiet_for=now - self._quiet_since.setdefault(model.key, now),
            since_change=now - model.changed_at,
        )
