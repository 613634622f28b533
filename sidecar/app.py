"""Builds the program: every part once, wired in one place, each with its lifetime."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiohttp import web

from sidecar.access.authenticator import build_authenticator
from sidecar.access.origins import OriginGuard
from sidecar.autoscaling.model_loader import ModelLoader
from sidecar.catalog.catalog import load_catalog
from sidecar.catalog.downloaded import DownloadedModels
from sidecar.downloads.manager import DownloadManager
from sidecar.downloads.shelf import Shelf
from sidecar.errors import Draining
from sidecar.middleware import GUARD, around
from sidecar.openapi import build_document
from sidecar.routes import (
    audio,
    audio_validation,
    config,
    documents,
    downloads,
    health,
    info,
    model_stock,
    predict,
    root,
    stats,
    synthesize,
    transcribe,
)
from sidecar.routes.documents import API_DOCUMENT
from sidecar.routes.route import Route
from sidecar.scheduling.scheduler import Scheduler
from sidecar.services import SERVICES, Services
from sidecar.settings import Settings
from sidecar.speech.service import Speech
from sidecar.telemetry.gpus import Gpus
from sidecar.telemetry.prometheus import Metrics
from sidecar.telemetry.statistics import Statistics
from sidecar.telemetry.system import SystemSampler
from sidecar.torchserve.client import TorchServeClient
from sidecar.torchserve.key_file import KeyFile
from sidecar.torchserve.process import TorchServeProcess
from sidecar.torchserve.supervisor import Supervisor

log = logging.getLogger(__name__)

MB = 2**20
ROUTES: list[Route] = [
    route
    for module in (
        *(root, predict, synthesize, transcribe, audio, audio_validation),
        *(downloads, model_stock),
        *(health, info, stats, config, documents),
    )
    for route in module.ROUTES
]
DRAINING = web.AppKey("draining", asyncio.Event)


async def create_app(
    settings: Settings, process: TorchServeProcess | None = None
) -> web.Application:
    """The program.  *process* is the TorchServe to run ourselves; None: it runs already."""
    app = web.Application(middlewares=[around], client_max_size=int(settings.max_body_mb * MB))
    draining = asyncio.Event()
    services = _build_services(settings, process, draining)
    app[SERVICES] = services
    app[DRAINING] = draining
    app[GUARD] = OriginGuard(settings.allowed_hosts, settings.allowed_origins)
    app[API_DOCUMENT] = build_document(ROUTES)
    for route in ROUTES:
        adders = {"GET": app.router.add_get, "DELETE": app.router.add_delete}
        adders.get(route.method, app.router.add_post)(route.path, route.handler)
    for path, handler in documents.ASSET_ROUTES:
        app.router.add_get(path, handler)
    app.cleanup_ctx.append(_lifetimes(services, process))
    return app


def _build_services(
    settings: Settings, process: TorchServeProcess | None, draining: asyncio.Event
) -> Services:
    downloaded = DownloadedModels(settings.state_dir)
    catalog = load_catalog(settings.models_file, downloaded.records())
    authenticator = build_authenticator(settings)  # may refuse: before anything has to be closed
    client = _build_client(settings, process)
    metrics, gpus = Metrics(), Gpus()
    scheduler = Scheduler(catalog, settings, client, metrics)
    loader = ModelLoader(
        catalog,
        client,
        scheduler,
        poll_seconds=settings.poll_seconds,
        model_store=settings.model_store,
    )
    scheduler.on_trouble(loader.nudge)
    services = Services(
        settings=settings,
        catalog=catalog,
        client=client,
        scheduler=scheduler,
        loader=loader,
        speech=Speech(catalog, scheduler, settings),
        downloads=DownloadManager(
            catalog,
            loader,
            Shelf(catalog, scheduler, loader, settings.model_store),
            settings,
        ),
        authenticator=authenticator,
        statistics=Statistics(),
        metrics=metrics,
        gpus=gpus,
        system=SystemSampler(loader.worker_pids, gpus),
        draining=draining.is_set,
        dead=set(),
    )
    metrics.watch(services.lanes)
    return services


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
        loader = services.loader

        def torchserve_changed() -> None:
            services.client.forget_keys()
            loader.nudge()

        async with AsyncExitStack() as stack:
            await stack.enter_async_context(services.client)
            stack.callback(services.speech.close)
            tasks = {
                "system": services.system.run(),
                "loader": loader.run(),
                "downloads": services.downloads.run(),
            }
            if process is not None:
                stack.push_async_callback(process.stop)
                tasks["torchserve"] = Supervisor(process, torchserve_changed).run()
            stack.push_async_callback(loader.stop)
            for name, work in tasks.items():
                await stack.enter_async_context(background(name, work, services.dead))
            yield

    return lifetimes


@asynccontextmanager
async def background(
    name: str, work: Coroutine[Any, Any, None], dead: set[str]
) -> AsyncIterator[None]:
    """Runs *work* until the block ends; if it dies before, the log and *dead* say so at once."""
    task = asyncio.create_task(work, name=name)

    def ended(_: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.critical("the task %s has died", name, exc_info=task.exception())
            dead.add(name)

    task.add_done_callback(ended)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def drain(app: web.Application) -> None:
    """No new work; what is queued and in flight is answered, within the set time."""
    app[DRAINING].set()
    services = app[SERVICES]
    if not await services.scheduler.drain(services.settings.drain_seconds):
        log.warning("not all was answered within drain_seconds")
    await services.scheduler.stop(Draining("the server is shutting down", retry_after=5))
