"""How inference requests went, including those that were refused before they were read."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from aiohttp import web

from sidecar.telemetry.prometheus import Metrics
from sidecar.telemetry.speech_statistics import SpeechStatistics, Synthesis
from sidecar.telemetry.statistics import Statistics
from sidecar.web.route import Handler, Route


class InferenceCall:
    """One inference request.  Its route fills in what became of it.

    *arrived* is on the clock of the statistics and the scheduler; *synthesis* is what was spoken,
    and is there only when all of it was.
    """

    __slots__ = ("arrived", "inputs", "success", "synthesis")

    def __init__(self, arrived: float) -> None:
        self.arrived = arrived
        self.inputs = 0
        self.success = False
        self.synthesis: Synthesis | None = None


CALL = web.RequestKey("call", InferenceCall)


class Measurement(NamedTuple):
    """Where inference requests are counted and timed."""

    statistics: Statistics
    speech: SpeechStatistics
    metrics: Metrics

    def measured(self, route: Route, handler: Handler) -> Handler:
        """Return *handler*, the one of *route* behind its door, with each request measured."""
        if route.measured_as is None:
            return handler

        async def measure(request: web.Request) -> web.StreamResponse:
            call = request[CALL] = InferenceCall(self.statistics.begin())
            try:
                return await handler(request)
            finally:
                self._end(call, route)

        return measure

    @contextmanager
    def measuring(self, route: Route) -> Iterator[InferenceCall]:
        """Measure what the block does for one call of *route*, if that is to be measured."""
        if route.measured_as is None:
            yield InferenceCall(time.monotonic())
            return
        call = InferenceCall(self.statistics.begin())
        try:
            yield call
        finally:
            self._end(call, route)

    def _end(self, call: InferenceCall, route: Route) -> None:
        taken = self.statistics.end(call.arrived, inputs=call.inputs, success=call.success)
        if call.success:
            self.metrics.observe_latency(route.path, taken)
        if route.measured_as != "synthesis":
            return
        if call.synthesis is None:
            self.speech.record_failure()
        else:
            self.speech.record_synthesis(call.synthesis)
