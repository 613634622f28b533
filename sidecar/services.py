"""What the routes work with: built once by `sidecar.app`, handed to all."""

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from aiohttp import web

from sidecar.access.limits import Limits
from sidecar.background import BackgroundTasks
from sidecar.caching.lookups import Lookups
from sidecar.caching.result_cache import ResultCache
from sidecar.caching.shared_look import SharedLook
from sidecar.caching.snapshot import Snapshot
from sidecar.downloads.manager import DownloadManager
from sidecar.models.autoscaler import Autoscaler
from sidecar.models.catalog_watch import CatalogWatch
from sidecar.models.history import History
from sidecar.models.operations import Operations
from sidecar.models.reconciler import Reconciler
from sidecar.models.registry import ModelRegistry
from sidecar.models.room import MemoryRoom
from sidecar.models.versions import ModelVersions
from sidecar.scheduling.scheduler import Scheduler
from sidecar.schemas.core import TorchServeStats
from sidecar.settings import Settings
from sidecar.speech.service import SpeechService
from sidecar.telemetry.gpus import Gpus
from sidecar.telemetry.prometheus import Metrics, ModelGauges
from sidecar.telemetry.statistics import Statistics
from sidecar.telemetry.system import SystemSampler
from sidecar.torchserve.client import TorchServeClient
from sidecar.torchserve.engine_watch import EngineWatch
from sidecar.web.admission import AdmissionControl


class Services(NamedTuple):
    """The parts of one running program."""

    settings: Settings
    client: TorchServeClient
    engine: EngineWatch
    models: ModelRegistry
    operations: Operations
    catalog_watch: CatalogWatch
    versions: ModelVersions
    room: MemoryRoom
    reconciler: Reconciler
    scheduler: Scheduler
    autoscaler: Autoscaler
    history: History
    speech: SpeechService
    downloads: DownloadManager
    admission: AdmissionControl
    limits: Limits
    lookups: Lookups  # of both caches
    results: ResultCache
    engine_answers: SharedLook[bool]
    torchserve_counts: SharedLook[TorchServeStats | None]  # None: its metrics API does not answer
    pages: Mapping[str, Snapshot]  # by path
    statistics: Statistics
    metrics: Metrics
    gpus: Gpus
    system: SystemSampler
    draining: asyncio.Event
    background: BackgroundTasks  # readiness is red while any of them is down

    def lanes(self) -> list[ModelGauges]:
        """Return every enabled model's queue, jobs and workers now."""
        return [
            ModelGauges(
                model.key,
                len(model.dispatcher.queue),
                model.dispatcher.in_flight,
                model.dispatcher.workers,
            )
            for model in self.models.enabled
        ]


SERVICES = web.AppKey("services", Services)
