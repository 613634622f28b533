"""The parts of one running program, and how they are wired.

Only `app`, `lifecycle` and `__main__`, which start and end it, see the whole.  Each group of
endpoints gets the parts that it works with, by `Program.provide`.
"""

import asyncio
import logging
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from aiohttp import web

from sidecar.access.authenticator import build_authenticator
from sidecar.access.limits import Limits
from sidecar.access.origins import OriginGuard
from sidecar.access.throttle import Load
from sidecar.background import BackgroundTasks
from sidecar.caching.lookups import Lookups
from sidecar.caching.result_cache import ResultCache
from sidecar.caching.shared_look import SharedLook
from sidecar.catalog.catalog import load_catalog
from sidecar.catalog.downloaded import DownloadedModels
from sidecar.downloads.manager import DownloadManager
from sidecar.models.autoscaler import Autoscaler
from sidecar.models.catalog_watch import CatalogWatch
from sidecar.models.history import History
from sidecar.models.loader import ModelLoader
from sidecar.models.operations import Operations
from sidecar.models.operator_changes import OperatorChanges
from sidecar.models.reconciler import Reconciler
from sidecar.models.registration import Registration
from sidecar.models.registry import ModelRegistry
from sidecar.models.room import MemoryRoom, memory_budget
from sidecar.models.states import MISSING
from sidecar.models.stored_versions import StoredVersions
from sidecar.models.versions import ModelVersions
from sidecar.routes.forwarded_predictions import ForwardedPredictions
from sidecar.routes.plain_predictions import PlainPredictions
from sidecar.routes.speech_predictions import SpeechPredictions
from sidecar.rpc.calls import CallsInProgress
from sidecar.scheduling.dispatcher import PLAIN_RUNNERS, DispatcherFactory
from sidecar.scheduling.scheduler import Scheduler
from sidecar.schemas.autoscaler import AutoscalerConfigBody
from sidecar.schemas.core import TorchServeStats
from sidecar.settings import MB, Settings
from sidecar.speech.service import SpeechService
from sidecar.telemetry.gpus import Gpus
from sidecar.telemetry.log_queue import AccessLog
from sidecar.telemetry.logs import REQUESTS
from sidecar.telemetry.prometheus import Metrics
from sidecar.telemetry.statistics import Measurement, SpeechStatistics, Statistics
from sidecar.telemetry.system import SystemSampler
from sidecar.torchserve.client import TorchServeClient
from sidecar.torchserve.engine_watch import EngineWatch
from sidecar.torchserve.failures import EngineGone, EngineRefused
from sidecar.torchserve.key_file import KeyFile
from sidecar.torchserve.process import TorchServeProcess
from sidecar.torchserve.worker_log import WORKERS_LOG, WorkerLog
from sidecar.web.accounting import RequestAccounting
from sidecar.web.admission import Admission, AdmissionControl
from sidecar.web.body_reader import BodyBudget
from sidecar.web.fast_path import FastPath, Prepare
from sidecar.web.middleware import OpenConnections
from sidecar.web.page import PageCache
from sidecar.web.turns import Turns

if TYPE_CHECKING:
    from sidecar.exporting import Exporting
    from sidecar.web.traced import RequestTracing

ENGINE_LOOK_SECONDS = 0.5  # how old the look at TorchServe in /health and /readyz may be
COUNTS_LOOK_SECONDS = 1.0  # the same, for its counts in /stats

Group = TypeVar("Group")

log = logging.getLogger(__name__)


class Program:
    """Builds each part when it is first asked for, from the parts that it needs itself.

    *process* is the TorchServe that we run ourselves; None: it runs already.  Raises CatalogError
    and SettingsError, before there is anything that has to be closed.
    """

    def __init__(self, settings: Settings, process: TorchServeProcess | None) -> None:
        self.settings = settings
        self.process = process
        downloaded = DownloadedModels(settings.state_dir)
        self.catalog = load_catalog(  # at the start
            settings.models_file,
            downloaded.records(),
            settings.model_store,
            serve_archives=settings.offers_archives,
            to_be_built=settings.builds_archives,
        )
        for sentence in self.catalog.broken.values():
            log.error("left out: %s", sentence)
        self.authenticator = build_authenticator(settings)
        self.calls = CallsInProgress()  # over gRPC
        self.draining = asyncio.Event()  # the server is leaving
        self.listeners: list[OpenConnections] = []
        self.nudged = asyncio.Event()  # the reconciler ought to look at once
        self.lookups = Lookups()  # of both caches
        self.result_lookups = Lookups(self.lookups)
        self.page_lookups = Lookups(self.lookups)
        self.statistics = Statistics()
        self.speech_statistics = SpeechStatistics()
        self.metrics = Metrics()
        self.gpus = Gpus()
        self.turns = Turns()
        self.access_log = AccessLog(logging.getLogger(REQUESTS))
        self.accounting = RequestAccounting(self.metrics, self.access_log)

    def provide(self, group: type[Group]) -> Group:
        """Return a *group*, a dataclass whose fields are named after the parts that they hold."""
        return group(**{each.name: getattr(self, each.name) for each in fields(group) if each.init})  # type: ignore[arg-type]

    @cached_property
    def exporting(self) -> "Exporting | None":
        """Exports spans and metrics, if the settings say where to."""
        endpoint = self.settings.otlp_endpoint
        if endpoint is None:
            return None
        # Not at the top: who does not use OpenTelemetry should not wait for its packages.
        from sidecar.exporting import Exporting  # noqa: PLC0415

        return Exporting(endpoint, self.settings.otlp_metrics_seconds, self.metrics)

    # TorchServe

    @cached_property
    def client(self) -> TorchServeClient:
        """Asks TorchServe."""
        settings, process = self.settings, self.process
        if process is None:
            urls = (settings.inference_url, settings.management_url, settings.metrics_url)
            return TorchServeClient(*urls, KeyFile(settings.torchserve_key_file))
        return TorchServeClient(
            process.url("inference"),
            process.url("management"),
            process.url("metrics"),
            KeyFile(process.key_file),
            process.batch_sizes,
        )

    @cached_property
    def engine(self) -> EngineWatch:
        """Knows whether TorchServe answers."""
        return EngineWatch(self.client)

    @cached_property
    def engine_answers(self) -> SharedLook[bool]:
        """Asks whether TorchServe answers, once for all who ask at the same time."""
        return SharedLook(self.engine.answers, seconds=ENGINE_LOOK_SECONDS)

    @cached_property
    def worker_log(self) -> WorkerLog:
        """Tells why a model could not be loaded."""
        ours = self.settings.logs / WORKERS_LOG
        return WorkerLog(self.settings.torchserve_worker_log if self.process is None else ours)

    @cached_property
    def torchserve_counts(self) -> SharedLook[TorchServeStats | None]:
        """Asks for TorchServe's own counts; None: its metrics API does not answer."""

        async def counts() -> TorchServeStats | None:
            try:
                return await self.client.fetch_counts()
            except (EngineGone, EngineRefused):
                return None

        return SharedLook(counts, seconds=COUNTS_LOOK_SECONDS)

    # Models

    @cached_property
    def history(self) -> History:
        """Remembers what became of models."""
        return History(self.metrics.illegal_transitions.add)

    @cached_property
    def models(self) -> ModelRegistry:
        """Every model."""
        runners = PLAIN_RUNNERS if self.exporting is None else self.exporting.runners
        dispatchers = DispatcherFactory(self.settings, self.client, self.metrics, runners=runners)
        return ModelRegistry(self.catalog, dispatchers, self.history, self.nudged)

    @cached_property
    def loader(self) -> ModelLoader:
        """Loads models and unloads them."""
        return ModelLoader(self.client, self.gpus, self.settings, self.worker_log)

    @cached_property
    def versions(self) -> ModelVersions:
        """Loads versions of models side by side."""
        return ModelVersions(self.client, self.settings.model_store, self.worker_log)

    @cached_property
    def room(self) -> MemoryRoom:
        """Knows how much memory models may take."""
        return MemoryRoom(self.models, memory_budget(self.settings, self.gpus))

    @cached_property
    def operations(self) -> Operations:
        """Begins what is done to models."""
        return Operations(
            self.models, self.loader, self.versions, self.room, self.engine, self.nudged
        )

    @cached_property
    def reconciler(self) -> Reconciler:
        """Compares what is wanted of models with what is."""
        return Reconciler(
            self.models, self.operations, self.loader, self.engine, self.settings, self.nudged
        )

    @cached_property
    def autoscaler(self) -> Autoscaler:
        """Decides how many workers models have."""
        config = AutoscalerConfigBody(zero_scaling_enabled=self.settings.zero_scaling)
        return Autoscaler(
            self.models, self.operations, self.room, config, self.settings.autoscale_seconds
        )

    @cached_property
    def catalog_watch(self) -> CatalogWatch:
        """Takes new entries of models.json."""
        return CatalogWatch(self.models, self.operations, self.settings)

    @cached_property
    def downloads(self) -> DownloadManager:
        """Fetches models from elsewhere."""
        return DownloadManager(self.models, self.operations, self.settings)

    @cached_property
    def operator_changes(self) -> OperatorChanges:
        """Does to models what operators ask for."""
        return OperatorChanges(
            self.operations,
            self.reconciler,
            self.room,
            self.engine,
            refuse_missing=self.downloads.refuse_missing,
        )

    @cached_property
    def stored_versions(self) -> StoredVersions:
        """Loads versions that requests ask for."""
        return StoredVersions(self.operator_changes, self.settings.model_store)

    @cached_property
    def registration(self) -> Registration:
        """Registers archives of the model store."""
        return Registration(
            self.models,
            self.versions,
            self.operations,
            self.operator_changes,
            self.catalog_watch,
            self.settings,
        )

    # Requests

    @cached_property
    def limits(self) -> Limits:
        """Counts what clients do."""
        return Limits(self.settings)

    @cached_property
    def guard(self) -> OriginGuard:
        """Keeps foreign web pages out."""
        return OriginGuard(self.settings.allowed_hosts, self.settings.allowed_origins)

    @cached_property
    def bodies(self) -> BodyBudget:
        """Bounds the memory that request bodies take."""
        return BodyBudget(int(self.settings.max_received_mb * MB), self.turns)

    @cached_property
    def admission(self) -> AdmissionControl:
        """Lets requests in."""
        return self.provide(AdmissionControl)

    @property
    def new_admission(self) -> Callable[..., Admission]:
        """Builds the admission of one request."""
        return Admission if self.exporting is None else self.exporting.requests.admission

    @property
    def request_tracing(self) -> "RequestTracing | None":
        """Tells the spans of requests, if they are exported."""
        return None if self.exporting is None else self.exporting.requests

    @cached_property
    def measurement(self) -> Measurement:
        """Counts and times inference requests."""
        return Measurement(self.statistics, self.speech_statistics, self.metrics)

    @cached_property
    def fast_routes(self) -> Mapping[str, Prepare]:
        """Prepares plain requests, by path; none where each is to have its spans."""
        if self.exporting is not None:
            return {}
        return {
            "/predict": PlainPredictions(self.settings, self.models).prepare,
            "/predictions/": ForwardedPredictions(self.settings, self.models).prepare,
        }

    @cached_property
    def fast_path(self) -> FastPath:
        """Takes plain requests."""
        return self.provide(FastPath)

    @cached_property
    def scheduler(self) -> Scheduler:
        """Queues inputs, and brings their replies."""
        return Scheduler(self.models)

    @cached_property
    def speech(self) -> SpeechService:
        """Finds voices and recognisers, and encodes and decodes audio."""
        return SpeechService(self.models, self.scheduler, self.settings, self.metrics.speech)

    @cached_property
    def speech_predictions(self) -> SpeechPredictions:
        """Runs /predict's inputs through speech models."""
        return SpeechPredictions(self.speech)

    @cached_property
    def results(self) -> ResultCache:
        """Keeps results of models that say `cache`."""
        return ResultCache(
            self.result_lookups,
            max_bytes=int(self.settings.result_cache_mb * MB),
            max_seconds=self.settings.result_cache_seconds,
        )

    @cached_property
    def pages(self) -> PageCache:
        """Keeps the pages that are the same for everybody."""
        return PageCache(self.page_lookups, self.settings.page_cache_seconds)

    def read_load(self) -> Load:
        """Return how full the machine is."""
        figures = self.system.figures
        return Load(figures.memory_percent, figures.gpus.memory_percent, self.models.queued)

    def prepare(self, key: str, name: str) -> None:
        """Make sure that the model *key*, which the client called *name*, takes requests.

        Raises ModelNotFound, ModelDownloading and NoRoom.
        """
        model = self.models.require(key, called=name)
        if model.state in MISSING:
            self.downloads.refuse_missing(model, name)
        self.operations.prepare(model, name)

    # Beside the requests

    @cached_property
    def system(self) -> SystemSampler:
        """Measures the machine."""
        settings = self.settings
        folders = {
            "logs": settings.logs,
            "models": settings.model_store,
            "state": settings.state_dir,
            "temporary": Path(tempfile.gettempdir()),
        }
        if (process := self.process) is None:
            return SystemSampler(self.models.worker_pids, self.gpus, folders=folders)
        return SystemSampler(
            self.models.worker_pids,
            self.gpus,
            folders=folders,
            others=process.pids,
            template=lambda: process.template_pid,
        )

    @cached_property
    def background(self) -> BackgroundTasks:
        """Runs tasks; readiness is red while any of them is down."""
        return BackgroundTasks(self.metrics.background_failures.add)


PROGRAM = web.AppKey("program", Program)
