"""All models' dispatchers: a request's inputs go in, their replies come out."""

import asyncio
import time
from collections.abc import Callable, Mapping

from sidecar.errors import RequestTimedOut, SidecarError, Unavailable
from sidecar.scheduling.dispatcher import Dispatcher
from sidecar.scheduling.entry import Entry, Reply
from sidecar.scheduling.job_runner import JobLimits
from sidecar.scheduling.request_queue import RequestQueue
from sidecar.scheduling.work import Running, Work
from sidecar.schemas.model_spec import ModelSpec
from sidecar.settings import Settings
from sidecar.telemetry.prometheus import Metrics
from sidecar.torchserve.client import TorchServeClient

MB = 2**20


class Scheduler:
    """One dispatcher per enabled model of the catalog."""

    def __init__(
        self,
        specs: Mapping[str, ModelSpec],
        settings: Settings,
        client: TorchServeClient,
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._settings = settings
        self._client = client
        self._metrics = metrics
        self._on_trouble: Callable[[], None] = lambda: None
        self._on_waiting: Callable[[str], None] = lambda _: None
        self.dispatchers: dict[str, Dispatcher] = {}
        for key, spec in specs.items():
            if spec.enabled:
                self.add(key, spec)

    def add(self, key: str, spec: ModelSpec) -> None:
        """A dispatcher for *key*, closed; what it had is kept."""
        if key in self.dispatchers:
            return
        settings = self._settings
        self.dispatchers[key] = Dispatcher(
            key,
            RequestQueue(
                max_entries=spec.inference.queue_size,
                max_bytes=int(settings.max_queued_mb * MB),
                ageing_seconds=settings.ageing_seconds,
            ),
            self._client,
            self._metrics.model(key),
            JobLimits(
                spec.inference.max_batch_size,
                int(settings.max_job_mb * MB),
                spec.inference.job_timeout_seconds,
            ),
            on_trouble=self._tell_trouble,
            on_waiting=self._tell_waiting,
            clock=self._clock,
        )

    async def remove(self, key: str, reason: Unavailable) -> None:
        """Takes *key*'s dispatcher away; what waits is refused with *reason*."""
        dispatcher = self.dispatchers.pop(key, None)
        if dispatcher is not None:
            await dispatcher.stop(reason)

    def on_trouble(self, tell: Callable[[], None]) -> None:
        """*tell* is called when a job has failed at TorchServe."""
        self._on_trouble = tell

    def on_waiting(self, tell: Callable[[str], None]) -> None:
        """*tell* is called with a model's key when requests wait and no worker is READY."""
        self._on_waiting = tell

    def _tell_waiting(self, key: str) -> None:
        self._on_waiting(key)

    def _tell_trouble(self) -> None:
        self._on_trouble()

    @property
    def queued(self) -> int:
        """Inputs that wait, of all models."""
        return sum(len(dispatcher.queue) for dispatcher in self.dispatchers.values())

    async def run(self, work: Work) -> list[Reply | SidecarError]:
        """The reply of each input, or why it has none, in order.

        Raises QueueFull, ModelNotReady, EngineUnavailable, or RequestTimedOut when not all
        have one in time.  Whoever stops waiting takes with them what is still queued.
        """
        running = self.start(work)
        try:
            return [await _outcome(entry) for entry in running.entries]
        finally:
            running.close()

    def start(self, work: Work) -> Running:
        """Queues a request's inputs; the caller waits for the replies, and closes it.

        Raises QueueFull, ModelNotReady or EngineUnavailable.
        """
        loop = asyncio.get_running_loop()
        parameters = work.parameters or [{}] * len(work.bodies)
        entries = [
            Entry(
                body,
                loop.create_future(),
                priority=work.priority,
                alone=work.alone,
                type=work.type,
                parameters=own,
                traceparent=work.traceparent,
                delay=work.delay,
            )
            for body, own in zip(work.bodies, parameters, strict=True)
        ]
        dispatcher = self.dispatchers[work.model]
        dispatcher.put(entries)
        return Running(work, entries, dispatcher, self._clock)

    async def stop(self, reason: Unavailable) -> None:
        """Refuses all that waits or is in flight."""
        await asyncio.gather(*(each.stop(reason) for each in self.dispatchers.values()))


async def _outcome(entry: Entry) -> Reply | SidecarError:
    """The reply, or why there is none.  Raises RequestTimedOut: that ends the whole request."""
    try:
        return await entry.reply
    except RequestTimedOut:
        raise
    except SidecarError as exc:
        return exc
