"""What the routes work with: built once by `sidecar.app`, handed to all."""

from collections.abc import Callable
from typing import NamedTuple

from aiohttp import web

from sidecar.access.authenticator import Authenticator
from sidecar.autoscaling.model_loader import ModelLoader
from sidecar.catalog.catalog import Catalog
from sidecar.downloads.manager import DownloadManager
from sidecar.scheduling.scheduler import Scheduler
from sidecar.settings import Settings
from sidecar.speech.service import Speech
from sidecar.telemetry.gpus import Gpus
from sidecar.telemetry.prometheus import LaneGauges, Metrics
from sidecar.telemetry.statistics import Statistics
from sidecar.telemetry.system import SystemSampler
from sidecar.torchserve.client import TorchServeClient


class Services(NamedTuple):
    """The parts of one running program."""

    settings: Settings
    catalog: Catalog
    client: TorchServeClient
    scheduler: Scheduler
    loader: ModelLoader
    speech: Speech
    downloads: DownloadManager
    authenticator: Authenticator
    statistics: Statistics
    metrics: Metrics
    gpus: Gpus
    system: SystemSampler
    draining: Callable[[], bool]
    dead: set[str]  # background tasks that have died; readiness is red while there are any

    def lanes(self) -> list[LaneGauges]:
        """Every model's queue, jobs and workers now."""
        return [
            LaneGauges(key, len(each.queue), each.in_flight, each.workers)
            for key, each in self.scheduler.dispatchers.items()
        ]


SERVICES = web.AppKey("services", Services)
