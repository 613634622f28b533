"""Builds the program: every part once, wired in one place, each with its lifetime."""

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

from aiohttp import web

from sidecar.access.authenticator import build_authenticator
from sidecar.access.limits import Limits
from sidecar.access.origins import OriginGuard
from sidecar.access.throttle import Load
from sidecar.background import BackgroundTasks
from sidecar.caching.lookups import Lookups
from sidecar.caching.result_cache import ResultCache
from sidecar.caching.shared_look import SharedLook
from sidecar.caching.snapshot import Snapshot
from sidecar.catalog.catalog import load_catalog
from sidecar.catalog.downloaded import DownloadedModels
from sidecar.downloads.manager import DownloadManager
from sidecar.errors import Draining
from sidecar.models.autoscaler import Autoscaler
from sidecar.models.catalog_watch import CatalogWatch
from sidecar.models.history import History
from sidecar.models.loader import ModelLoader
from sidecar.models.model import Model
from sidecar.models.operations import Operations
from sidecar.models.reconciler import Reconciler
from sidecar.models.registry import ModelRegistry
from sidecar.models.room import MemoryRoom, memory_budget
from sidecar.models.states import MISSING
from sidecar.models.versions import ModelVersions
from sidecar.routes import (
    audio,
    audio_validation,
    autoscaler,
    config,
    documents,
    downloads,
    health,
    info,
    logs,
    model_stock,
    models,
    predict,
    root,
    stats,
    synthesize,
    transcribe,
)
from sidecar.routes.documents import API_DOCUMENT
from sidecar.scheduling.dispatcher import DispatcherFactory
from sidecar.scheduling.scheduler import Scheduler
from sidecar.schemas.autoscaler import AutoscalerConfigBody
from sidecar.schemas.core import TorchServeStats
from sidecar.services import SERVICES, Services
from sidecar.settings import Settings
from sidecar.speech.service import SpeechService
from sidecar.telemetry.gpus import Gpus
from sidecar.telemetry.prometheus import Metrics
from sidecar.telemetry.statistics import Statistics
from sidecar.telemetry.system import SystemSampler
from sidecar.torchserve.client import EngineGone, EngineRefused, TorchServeClient
from sidecar.torchserve.engine_watch import EngineWatch
from sidecar.torchserve.key_file import KeyFile
from sidecar.torchserve.process import TorchServeProcess
from sidecar.torchserve.supervisor import Supervisor
from sidecar.web.admission import AdmissionControl
from sidecar.web.body_budget import BodyBudget
from sidecar.web.connections import ConnectionRunner
from sidecar.web.measurement import Measurement
from sidecar.web.middleware import GUARD, around
from sidecar.web.openapi import build_document
from sidecar.web.route import Route
from sidecar.web.turns import Turns

log = logging.getLogger(__name__)

MB = 2**20
ENGINE_LOOK_SECONDS = 0.5  # how old what /health and /readyz say of TorchServe may be
COUNTS_LOOK_SECONDS = 1.0  # the same, for its counts in /stats
HANG_UP_SECONDS = 1.0  # after the drain, for clients that do not read their answers
ROUTES: list[Route] = [
    route
    for module in (
        *(root, predict, synthesize, transcribe, audio, audio_validation),
        *(health, info, stats, config, models, downloads, model_stock),
        *(autoscaler, logs, documents),
    )
    for route in module.ROUTES
]


async def create_app(
    settings: Settings, process: TorchServeProcess | None = None
) -> web.Application:
    """The program.  *process* is the TorchServe to run ourselves; None: it runs already."""
    app = web.Application(middlewares=[around])
    services = _build_services(settings, process)
    app[SERVICES] = services
    app[GUARD] = OriginGuard(settings.allowed_hosts, settings.allowed_origins)
    app[API_DOCUMENT] = _document()
    measurement = Measurement(services.statistics, services.speech.statistics, services.metrics)
    for route in ROUTES:
        handler = measurement.measured(route, services.admission.guard(route))
        if route.method == "GET":
            app.router.add_get(route.path, handler)  # and HEAD
        else:
            app.router.add_route(route.method, route.path, handler)
    for path, handler in documents.ASSET_ROUTES:
        app.router.add_get(path, handler)
    app.cleanup_ctx.append(_lifetimes(services, process))
    return app


def create_runner(app: web.Application) -> ConnectionRunner:
    """Return what serves *app*."""
    return ConnectionRunner(
        app,
        handler_cancellation=True,  # nobody works for a client that has hung up
        auto_decompress=False,  # web.body_reader inflates bodies, in bounded steps
        access_log=None,  # the middleware writes one
        shutdown_timeout=HANG_UP_SECONDS,
    )


@functools.cache  # it is the same for every program
def _document() -> dict[str, Any]:
    return build_document(ROUTES)


def _build_services(settings: Settings, process: TorchServeProcess | None) -> Services:
    downloaded = DownloadedModels(settings.state_dir)
    catalog = load_catalog(settings.models_file, downloaded.records())
    authenticator = build_authenticator(settings)  # may refuse: before anything has to be closed
    client = _build_client(settings, process)
    metrics, gpus, lookups, turns = Metrics(), Gpus(), Lookups(), Turns()
    history, nudged = History(metrics.illegal_transition), asyncio.Event()
    engine = EngineWatch(client)
    models = ModelRegistry(catalog, DispatcherFactory(settings, client, metrics), history, nudged)
    loader = ModelLoader(client, gpus, settings.loads_at_once)
    versions = ModelVersions(client, settings.model_store)
    room = MemoryRoom(models, memory_budget(settings, gpus))
    operations = Operations(models, loader, versions, room, engine, nudged)
    scheduler = Scheduler(models)
    system, draining = SystemSampler(models.worker_pids, gpus), asyncio.Event()
    downloads, limits = DownloadManager(models, operations, settings), Limits(settings)

    def read_load() -> Load:
        figures = system.figures
        return Load(figures.memory_percent, figures.gpus.memory_percent, models.queued)

    def prepare(model: Model, name: str) -> None:
        if model.state in MISSING:
            downloads.refuse_missing(model, name)
        operations.prepare(model, name)

    services = Services(
        settings=settings,
        client=client,
        engine=engine,
        models=models,
        operations=operations,
        catalog_watch=CatalogWatch(models, operations, settings),
        versions=versions,
        room=room,
        reconciler=Reconciler(models, operations, loader, engine, settings, nudged),
        scheduler=scheduler,
        autoscaler=Autoscaler(
            models,
            operations,
            room,
            AutoscalerConfigBody(zero_scaling_enabled=settings.zero_scaling),
            settings.autoscale_seconds,
        ),
        history=history,
        speech=SpeechService(models, scheduler, settings),
        downloads=downloads,
        admission=AdmissionControl(
            settings=settings,
            authenticator=authenticator,
            limits=limits,
            bodies=BodyBudget(int(settings.max_received_mb * MB), turns),
            turns=turns,
            models=models,
            draining=draining,
            read_load=read_load,
            prepare=prepare,
        ),
        limits=limits,
        lookups=lookups,
        results=ResultCache(
            lookups,
            max_bytes=int(settings.result_cache_mb * MB),
            max_seconds=settings.result_cache_seconds,
        ),
        pages={
            route.path: Snapshot(lookups, seconds=settings.page_cache_seconds)
            for route in ROUTES
            if route.page
        },
        engine_answers=SharedLook(engine.answers, seconds=ENGINE_LOOK_SECONDS),
        torchserve_counts=SharedLook(
            functools.partial(_counts, client), seconds=COUNTS_LOOK_SECONDS
        ),
        statistics=Statistics(),
        metrics=metrics,
        gpus=gpus,
        system=system,
        draining=draining,
        background=BackgroundTasks(metrics.background_failed),
    )
    metrics.watch(services.lanes)
    return services


async def _counts(client: TorchServeClient) -> TorchServeStats | None:
    try:
        return await client.counts()
    except (EngineGone, EngineRefused):
        return None


def _build_client(settings: Settings, process: TorchServeProcess | None) -> TorchServeClient:
    if process is None:
        keys = KeyFile(settings.torchserve_key_file)
        urls = (settings.inference_url, settings.management_url, settings.metrics_url)
        return TorchServeClient(*urls, keys)
    keys = KeyFile(process.key_file)
    return TorchServeClient(
        process.url("inference"), process.url("management"), process.url("metrics"), keys
    )


def _lifetimes(
    services: Services, process: TorchServeProcess | None
) -> Callable[[web.Application], AsyncIterator[None]]:
    async def lifetimes(_: web.Application) -> AsyncIterator[None]:
        def torchserve_changed() -> None:
            services.client.forget_keys()
            services.reconciler.restart()

        async with AsyncExitStack() as stack:
            await stack.enter_async_context(services.client)
            stack.callback(services.speech.close)
            stack.push_async_callback(services.limits.close)
            tasks = {
                "system": services.system.run,
                "loader": services.reconciler.run,
                "autoscaler": services.autoscaler.run,
                "downloads": services.downloads.run,
                "catalog": services.catalog_watch.run,
            }
            if process is not None:
                stack.push_async_callback(process.stop)
                tasks["torchserve"] = Supervisor(process, torchserve_changed, services.engine).run
            stack.push_async_callback(services.operations.stop, Draining("the server has stopped"))
            for name, work in tasks.items():
                await stack.enter_async_context(services.background.running(name, work))
            yield

    return lifetimes
