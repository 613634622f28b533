"""Export to an OpenTelemetry collector: spans when they end, metrics at intervals.

Imported only if the settings name a collector, as OpenTelemetry's packages are large.
"""

import asyncio
import logging

from sidecar.scheduling.traced_runners import traced_runners
from sidecar.telemetry.otlp_metrics import OtlpMetrics
from sidecar.telemetry.prometheus import Metrics
from sidecar.telemetry.tracing import Tracing
from sidecar.web.traced import RequestTracing

log = logging.getLogger(__name__)


class Exporting:
    """Exports the spans of requests and jobs, and all *metrics*, to the collector at *endpoint*."""

    def __init__(self, endpoint: str, seconds: float, metrics: Metrics) -> None:
        endpoint = endpoint.rstrip("/")
        self._seconds = seconds
        self.tracing = Tracing(endpoint)
        self.requests = RequestTracing(self.tracing)
        self.runners = traced_runners(self.tracing)
        self._sender = OtlpMetrics(
            endpoint,
            self.tracing.resource,
            lambda: (*metrics.families, *self.requests.families),
        )

    async def run(self) -> None:
        """Send the metrics at intervals until cancelled."""
        while True:
            await asyncio.sleep(self._seconds)
            await self.send_metrics()

    async def send_metrics(self) -> None:
        """Send the current metrics.  If the collector does not accept them, nothing is lost."""
        if not await asyncio.to_thread(self._sender.send, self._sender.read()):
            log.warning("the collector did not accept the metrics; the next export has them all")

    async def close(self) -> None:
        """Send the remaining spans, for a few seconds at most."""
        self._sender.stop_sending()
        await self.tracing.close()
