"""What is counted and logged of each request, whichever way it came: HTTP, the fast path, gRPC."""

import time
from dataclasses import dataclass

from sidecar.access.identity import Identity
from sidecar.errors import REFUSED, SidecarError
from sidecar.telemetry.log_lines import CLIENT_LEFT, AccessLine
from sidecar.telemetry.log_queue import AccessLog
from sidecar.telemetry.prometheus import Metrics


@dataclass(frozen=True, slots=True)
class RequestAccounting:
    """Counts and logs the end of each request, once.

    *route* is the path as the route declares it, *seconds* the time from the request's arrival.
    """

    metrics: Metrics
    access_log: AccessLog

    def count_refusal(self, error: SidecarError) -> None:
        """Count *error* if its status is one of REFUSED."""
        if error.status in REFUSED:
            self.metrics.rejections.add(type(error).__name__)

    def record(
        self,
        method: str,
        route: str,
        status: int | None,
        seconds: float,
        identity: Identity | None,
        size: int | None,
        request_id: str | None,
    ) -> None:
        """Count and log the end of a request.

        *status* is None if the client left before it was answered, *size* (of the body, in bytes)
        also if the body is sent from a file.
        """
        if status is None:
            status = CLIENT_LEFT
            self.metrics.abandoned.add(route)
        else:
            self.metrics.answers.add(route, str(status))
        if self.access_log.enabled:
            subject = None if identity is None else identity.subject
            line = AccessLine(
                method, route, status, round(seconds, 6), subject, size, time.time(), request_id
            )
            self.access_log.add(line)
