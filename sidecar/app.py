"""The program as an aiohttp application: its routes, what they work with, and its lifetime."""

import dataclasses
import functools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

from aiohttp import web

from sidecar.background import TaskFunction
from sidecar.errors import Draining, refusals
from sidecar.program import PROGRAM, Program
from sidecar.readings import ReadingParts, all_readings
from sidecar.routes import (
    audio,
    audio_validation,
    autoscaler,
    config,
    documents,
    downloads,
    handler_requests,
    health,
    info,
    logs,
    model_stock,
    models,
    predict,
    root,
    stats,
    synthesize,
    torchserve_management,
    transcribe,
)
from sidecar.routes.groups import GROUPS, ROUTES
from sidecar.routes.open_inference import models as open_inference_models
from sidecar.routes.openai import models as openai_models
from sidecar.routes.openai.names import NAMES, OpenAINames
from sidecar.settings import Settings
from sidecar.torchserve.process import TorchServeProcess
from sidecar.torchserve.supervisor import Supervisor
from sidecar.torchserve.worker_template import WorkerTemplate
from sidecar.web.connections import ConnectionRunner
from sidecar.web.error_forms import FORM, MANAGEMENT
from sidecar.web.middleware import NO_ROUTE, SERVER, ServerContext, around, guarded
from sidecar.web.openapi import build_document
from sidecar.web.page import PAGES

HANG_UP_SECONDS = 1.0  # after the drain, for clients that do not read their answers


async def create_app(
    settings: Settings, process: TorchServeProcess | None = None
) -> web.Application:
    """Return the program.  *process* is the TorchServe to run ourselves; None: it runs already.

    Raises SettingsError and CatalogError, before anything has to be closed.
    """
    program = Program(settings, process)
    exporting = program.exporting
    app = web.Application(
        middlewares=[around] if exporting is None else [exporting.requests.trace, around]
    )
    app[PROGRAM] = program
    _provide_parts(app, program)
    for route in ROUTES:
        handler = guarded(program.admission, route)
        for pattern in route.patterns:
            if route.method == "GET":
                app.router.add_get(pattern, handler)  # and HEAD
                continue
            for method in route.methods:
                app.router.add_route(method, pattern, handler)
    for path, handler in documents.ASSET_ROUTES:
        app.router.add_get(path, handler)
    _expect_counts(program)
    for family in all_readings(program.provide(ReadingParts)):
        program.metrics.add(family)
    app.cleanup_ctx.append(_lifetimes(program))
    return app


def create_management_app(program: Program) -> web.Application:
    """Return TorchServe's management API of *program*, which another application runs."""
    app = web.Application(middlewares=[around])
    app[SERVER] = dataclasses.replace(program.provide(ServerContext), fast_path=None)
    app[FORM] = MANAGEMENT
    app[torchserve_management.PARTS] = program.provide(torchserve_management.ManagementParts)
    for route in torchserve_management.ROUTES:
        for pattern in route.patterns:
            app.router.add_route(route.method, pattern, guarded(program.admission, route))
    return app


def _expect_counts(program: Program) -> None:
    """Let the counts that alerts look at begin with 0."""
    for route in ROUTES:
        if route.measured_as is not None:
            program.metrics.expect_route(route.path, (200, *route.statuses))
    program.metrics.expect_route(NO_ROUTE, (400, 404, 405))
    program.metrics.expect_rejections(sorted(each.__name__ for each in refusals()))


def _provide_parts(app: web.Application, program: Program) -> None:
    """Give each group of endpoints the parts that it works with."""
    app[SERVER] = program.provide(ServerContext)
    app[PAGES] = program.pages
    app[audio.PARTS] = program.provide(audio.AudioParts)
    app[audio_validation.PARTS] = program.provide(audio_validation.ValidationParts)
    app[autoscaler.PARTS] = program.provide(autoscaler.AutoscalerParts)
    app[config.PARTS] = program.provide(config.ConfigParts)
    app[documents.API_DOCUMENT] = _document(program.settings.max_timeout_seconds)
    app[documents.METRICS] = program.provide(documents.MetricsParts)
    app[downloads.PARTS] = program.provide(downloads.DownloadParts)
    app[handler_requests.PARTS] = program.provide(handler_requests.HandlerParts)
    app[health.PARTS] = program.provide(health.HealthParts)
    app[info.PARTS] = program.provide(info.InfoParts)
    app[logs.SETTINGS] = program.settings
    app[model_stock.PARTS] = program.provide(model_stock.StockParts)
    app[models.PARTS] = program.provide(models.ModelParts)
    app[NAMES] = program.provide(OpenAINames)
    app[open_inference_models.PARTS] = program.provide(open_inference_models.TensorModelParts)
    app[openai_models.PARTS] = program.provide(openai_models.ListingParts)
    app[predict.PARTS] = program.provide(predict.PredictParts)
    app[root.PARTS] = program.provide(root.RootParts)
    app[stats.PARTS] = program.provide(stats.StatsParts)
    app[synthesize.PARTS] = program.provide(synthesize.SynthesisParts)
    app[transcribe.PARTS] = program.provide(transcribe.TranscriptionParts)


@functools.cache  # it is the same for most programs
def _document(max_timeout_seconds: float) -> dict[str, Any]:
    return build_document(GROUPS, max_timeout_seconds)


def create_runner(app: web.Application) -> ConnectionRunner:
    """Return what serves *app*."""
    return ConnectionRunner(
        app,
        handler_cancellation=True,  # the work for a request ends when its client hangs up
        auto_decompress=False,  # web.body_reader inflates bodies, in bounded steps
        access_log=None,  # the middleware writes one
        shutdown_timeout=HANG_UP_SECONDS,
    )


def _lifetimes(program: Program) -> Callable[[web.Application], AsyncIterator[None]]:
    async def lifetimes(_: web.Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(program.client)
            stack.callback(program.access_log.flush)
            stack.callback(program.speech.close)
            stack.push_async_callback(program.limits.close)
            tasks = {
                "system": program.system.run,
                "loader": program.reconciler.run,
                "autoscaler": program.autoscaler.run,
                "downloads": program.downloads.run,
                "catalog": program.catalog_watch.run,
            }
            if program.exporting is not None:
                stack.push_async_callback(program.exporting.close)
                tasks["telemetry"] = program.exporting.run
            if program.process is not None:
                stack.push_async_callback(program.process.stop)
                tasks["torchserve"] = _supervisor(program, program.process).run
                if program.process.template is not None:
                    tasks["template"] = _template(program, program.process.template)
            stack.push_async_callback(program.operations.stop, Draining("the server has stopped"))
            stack.push_async_callback(program.registration.stop)
            if program.settings.grpc_port is not None:
                await stack.enter_async_context(_serving_calls(program))
            program.metrics.expect_tasks(tasks)
            for name, work in tasks.items():
                await stack.enter_async_context(program.background.running(name, work))
            yield

    return lifetimes


def _serving_calls(program: Program) -> AbstractAsyncContextManager[int]:
    """Return what serves the Open Inference Protocol over gRPC."""
    from sidecar.rpc.call import CallParts  # noqa: PLC0415 - gRPC takes memory; most do not use it
    from sidecar.rpc.methods import ServiceParts  # noqa: PLC0415
    from sidecar.rpc.server import serving_calls  # noqa: PLC0415

    service = ServiceParts(
        program.provide(health.HealthParts),
        program.provide(open_inference_models.TensorModelParts),
        program.provide(predict.PredictParts),
        program.provide(models.ModelParts),
    )
    return serving_calls(program.settings, program.provide(CallParts), service)


def _template(program: Program, template: WorkerTemplate) -> TaskFunction:
    """Return what keeps *template* running, from when every model was loaded or has failed."""

    async def run() -> None:
        await program.reconciler.wait_tried()
        await template.run()

    return run


def _supervisor(program: Program, process: TorchServeProcess) -> Supervisor:
    def torchserve_changed() -> None:
        program.client.forget_keys()
        program.reconciler.restart()

    return Supervisor(process, torchserve_changed, program.engine)
