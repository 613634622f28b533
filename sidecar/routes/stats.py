"""GET /stats: what was measured.  Needs the scope `stats` or `admin`."""

from aiohttp import web

from sidecar.schemas.core import PerformanceReport, Stats, StatsCounts
from sidecar.services import SERVICES
from sidecar.web.route import Route, json_response


async def stats(request: web.Request) -> web.Response:
    """Counts since start, the last minute, and TorchServe's own counts."""
    services = request.app[SERVICES]
    statistics, figures = services.statistics, services.system.figures
    recent = statistics.recent()
    return json_response(
        Stats(
            StatsCounts(
                statistics.finished,
                statistics.total_seconds,
                statistics.average,
                statistics.active,
                services.models.queued,
                figures.memory_usage_mb,
            ),
            PerformanceReport(
                recent.throughput,
                recent.p50,
                recent.p95,
                recent.p99,
                figures.device_utilization(),
            ),
            await services.torchserve_counts.get(),
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
