"""What is exported to an OpenTelemetry collector: spans as they end, the metrics at intervals.

Imported only where the settings name a collector, since OpenTelemetry's packages are large.
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
    """The spans of requests and of jobs, and all *metrics*, for the collector at *endpoint*."""

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
        """Send all metrics as they are now.  A collector that does not take them costs nothing."""
        if not await asyncio.to_thread(self._sender.send, self._sender.read()):
            log.warning("the collector did not take the metrics; the next ones hold all")

    async def close(self) -> None:
        """Send the spans that are left, for a few seconds at most."""
        self._sender.stop_sending()
        await self.tracing.close()
