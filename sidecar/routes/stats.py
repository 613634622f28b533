"""GET /stats: what was measured.  Needs the scope `stats` or `admin`."""

from dataclasses import dataclass

from aiohttp import web

from sidecar.caching.shared_look import SharedLook
from sidecar.models.registry import ModelRegistry
from sidecar.schemas.core import PerformanceReport, Stats, StatsCounts, TorchServeStats
from sidecar.telemetry.statistics import Statistics
from sidecar.telemetry.system import SystemSampler
from sidecar.web.route import Route, json_response


@dataclass(frozen=True, slots=True)
class StatsParts:
    """What was measured."""

    statistics: Statistics
    models: ModelRegistry
    system: SystemSampler
    torchserve_counts: SharedLook[TorchServeStats | None]


PARTS = web.AppKey("stats", StatsParts)


async def stats(request: web.Request) -> web.Response:
    """Answer with the counts since the start, the last minute, and TorchServe's own counts."""
    parts = request.app[PARTS]
    statistics, figures = parts.statistics, parts.system.figures
    recent = statistics.recent()
    return json_response(
        Stats(
            StatsCounts(
                statistics.finished,
                statistics.total_seconds,
                statistics.average,
                statistics.active,
                parts.models.queued,
                figures.memory_usage_mb,
            ),
            PerformanceReport(
                recent.throughput,
                recent.p50,
                recent.p95,
                recent.p99,
                figures.device_utilization(),
            ),
            await parts.torchserve_counts.get(),
        )
    )


ROUTES = [
    Route(
        "GET",
        "/stats",
        stats,
        "What was measured since start and in the last minute",
        response=Stats,
        statuses=(401, 403),
        credential="stats",
    )
]
