"""The client of TorchServe's three APIs.

Nothing is asked of it synchronously: TorchServe would wait for workers in one of its few
event-loop threads, and whoever else is connected to that thread would wait as long.

Every call has its own time limit, and after a refused token, the tokens are read again and the call
is tried once more, unnoticed by clients.
"""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from sidecar.schemas.core import TorchServeModelCounts, TorchServeStats
from sidecar.schemas.model_spec import ModelSpec
from sidecar.torchserve.batch_sizes import BatchSizes
from sidecar.torchserve.failures import (
    EngineGone,
    EngineOutOfReach,
    EngineRefused,
    refusal_of,
    telling_gone,
)
from sidecar.torchserve.forwarding import ForwardingConnections
from sidecar.torchserve.job_connections import JobConnections
from sidecar.torchserve.kept_connections import CONNECT_SECONDS
from sidecar.torchserve.key_file import KeyFile, Purpose

QUICK_SECONDS = 5.0
SCALE_SECONDS = 20.0  # workers that go are waited for
UNPACK_SECONDS = 300.0  # a registration unpacks the archive
# Connections to each API, so that no crowd can use up our descriptors; who finds none free waits,
# within its time limit.  Pings have their own: whatever else is asked, TorchServe's life is seen.
MAX_FORWARDED = 1024  # requests to custom handlers
MAX_JOBS = 256  # more than the slots of all workers that one machine carries
MAX_MANAGEMENT_CALLS = 32
MAX_METRICS_CALLS = 2
MAX_PINGS = 2


class WorkerState(msgspec.Struct, rename="camel"):
    """One worker process, as the management API describes it."""

    id: str
    status: str
    pid: int = 0
    memory_usage: int = 0  # bytes
    gpu: bool = False


class ModelState(msgspec.Struct, rename="camel"):
    """One registered model, as the management API describes it."""

    model_name: str
    model_version: str
    min_workers: int
    max_workers: int
    batch_size: int
    workers: list[WorkerState]
    customized_metadata: Any = None

    @property
    def ready(self) -> list[WorkerState]:
        """The workers that take jobs."""
        return [worker for worker in self.workers if worker.status == "READY"]

    @property
    def asleep(self) -> bool:
        """Whether it was told to have no workers."""
        return self.min_workers == 0 and not self.ready


class _Api:
    """One address of TorchServe: ``http://host:port`` or ``unix:/path``, with its token.

    *most*: connections at the same time.
    """

    def __init__(self, url: str, keys: KeyFile, purpose: Purpose | None, most: int) -> None:
        connector: aiohttp.BaseConnector
        if url.startswith("unix:"):
            connector, base = aiohttp.UnixConnector(url[5:], limit=most), "http://torchserve"
        else:
            connector, base = aiohttp.TCPConnector(limit=most), url
        self._keys = keys
        self._purpose = purpose
        self._session = aiohttp.ClientSession(
            base, connector=connector, cookie_jar=aiohttp.DummyCookieJar()
        )

    async def close(self) -> None:
        await self._session.close()

    async def call(
        self,
        method: str,
        path: str,
        *,
        seconds: float,
        params: Mapping[str, str] | None = None,
    ) -> bytes:
        """Return the body of a 2xx answer.  Raises EngineRefused or EngineGone."""
        try:
            return await self._call(method, path, seconds, params)
        except EngineRefused as exc:
            if not exc.wrong_key:
                raise
        self._keys.reload()
        return await self._call(method, path, seconds, params)

    async def _call(
        self,
        method: str,
        path: str,
        seconds: float,
        params: Mapping[str, str] | None,
    ) -> bytes:
        headers = self._keys.headers(self._purpose) if self._purpose else {}
        limit = aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS)
        with telling_gone(method, path):
            async with self._session.request(
                method, path, params=params, headers=headers, timeout=limit
            ) as response:
                body = await response.read()
        if response.status >= 300:
            raise refusal_of(response.status, body)
        return body


class TorchServeClient:
    """Calls TorchServe; an async context manager that closes its connections.

    *jobs* sends jobs to its inference API, *forwarding* requests as they came.  *batch_sizes* is
    what our own workers read; None: its workers are somebody else's.
    """

    def __init__(
        self,
        inference_url: str,
        management_url: str,
        metrics_url: str,
        keys: KeyFile,
        batch_sizes: BatchSizes | None = None,
    ) -> None:
        self._batch_sizes = batch_sizes
        self.jobs = JobConnections(inference_url, MAX_JOBS, keys)
        self.forwarding = ForwardingConnections(inference_url, MAX_FORWARDED, keys)
        self._pings = _Api(inference_url, keys, "inference", MAX_PINGS)
        self._management = _Api(management_url, keys, "management", MAX_MANAGEMENT_CALLS)
        self._metrics = _Api(metrics_url, keys, None, MAX_METRICS_CALLS)
        self._keys = keys

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.jobs.close()
        self.forwarding.close()
        for api in (
            self._pings,
            self._management,
            self._metrics,
        ):
            await api.close()

    async def ping(self) -> bool:
        """Return whether the inference API answers.  Raises EngineOutOfReach.

        It is Unhealthy, and answers 500, where any model of anybody's lacks workers.
        """
        try:
            await self._pings.call("GET", "/ping", seconds=QUICK_SECONDS)
        except EngineOutOfReach:
            raise
        except EngineRefused as exc:
            return exc.status == HTTPStatus.INTERNAL_SERVER_ERROR
        except EngineGone:
            return False
        return True

    async def describe(
        self, model: str, version: str | None = None, *, customized: bool = False
    ) -> ModelState | None:
        """Return the state of *model*; with *customized*, what its handler says of itself.

        None when it is not registered.
        """
        params = {"customized": "true"} if customized else None
        try:
            body = await self._management.call(
                "GET", _path(model, version), params=params, seconds=QUICK_SECONDS
            )
        except EngineRefused as exc:
            if exc.status == 404:
                return None
            raise
        return msgspec.json.decode(body, type=list[ModelState])[0]

    async def describe_whole(
        self, model: str, version: str | None = None, *, customized: bool = False
    ) -> list[dict[str, Any]]:
        """Return all that is said of *model*, or of one *version*; `all` stands for each.

        With *customized*, also what its handler says of itself.  Nothing when it is not
        registered.  Raises EngineRefused or EngineGone.
        """
        params = {"customized": "true"} if customized else None
        try:
            body = await self._management.call(
                "GET", _path(model, version), params=params, seconds=QUICK_SECONDS
            )
        except EngineRefused as exc:
            if exc.status == 404:
                return []
            raise
        return msgspec.json.decode(body, type=list[dict[str, Any]])

    def takes_batches_for(self, spec: ModelSpec) -> bool:
        """Whether the workers of the custom handler in *spec* take a batch as one request."""
        return (
            self._batch_sizes is not None and spec.is_own and not spec.inference.torchserve_batches
        )

    def batch_size_for(self, spec: ModelSpec) -> int:
        """Return how many requests TorchServe itself puts together for *spec*."""
        forms_batches = spec.is_own and not self.takes_batches_for(spec)
        return spec.inference.batch_size if forms_batches else 1

    async def register(self, archive: str, model: str, spec: ModelSpec | None = None) -> None:
        """Register *archive* (a file name in the model store) without workers.

        Those that an archive asks for itself are waited for.  *spec* tells of a custom handler; a
        job for any other is a batch already.  Raises EngineRefused or EngineGone.
        """
        params = {
            "url": archive,
            "model_name": model,
            "batch_size": "1",
            "max_batch_delay": "1",
            "initial_workers": "0",
        }
        size = None
        if spec is not None and spec.is_own:
            params["batch_size"] = str(self.batch_size_for(spec))
            params["max_batch_delay"] = str(spec.torchserve_batch_delay_ms)
            # Where the archive has no settings itself:
            params["response_timeout"] = str(spec.inference.job_timeout_seconds)
            params["startup_timeout"] = str(spec.inference.startup_timeout_seconds)
            if self.takes_batches_for(spec):
                size = spec.inference.batch_size
        if self._batch_sizes is not None:
            await asyncio.to_thread(self._batch_sizes.tell, model, size)
        await self._management.call("POST", "/models", params=params, seconds=UNPACK_SECONDS)

    async def scale(self, model: str, least: int, most: int, version: str | None = None) -> None:
        """Scale *model* to between *least* and *most* workers; TorchServe starts *least*.

        Those that go are gone when this returns; those that come are not READY yet.
        """
        params = {"min_worker": str(least), "max_worker": str(most), "synchronous": "false"}
        await self._management.call(
            "PUT", _path(model, version), params=params, seconds=SCALE_SECONDS
        )

    async def versions(self, model: str) -> list[ModelState]:
        """Return every registered version of *model*."""
        try:
            body = await self._management.call("GET", f"/models/{model}/all", seconds=QUICK_SECONDS)
        except EngineRefused as exc:
            if exc.status == 404:
                return []
            raise
        return msgspec.json.decode(body, type=list[ModelState])

    async def set_default(self, model: str, version: str) -> None:
        """Send jobs to *version* from now on; those in flight end where they are."""
        path = f"{_path(model, version)}/set-default"
        await self._management.call("PUT", path, seconds=QUICK_SECONDS)

    async def unregister(self, model: str, version: str | None = None) -> None:
        """Take *model* out of TorchServe, or one version; its archive stays where it is.

        The default version can only be the last.
        """
        await self._management.call("DELETE", _path(model, version), seconds=SCALE_SECONDS)

    async def fetch_metrics(self) -> bytes:
        """Return TorchServe's metrics as it writes them.  Raises EngineRefused or EngineGone."""
        return await self._metrics.call("GET", "/metrics", seconds=QUICK_SECONDS)

    async def fetch_counts(self) -> TorchServeStats:
        """Return what TorchServe has counted.  Raises EngineRefused or EngineGone."""
        body = await self._metrics.call("GET", "/metrics", seconds=QUICK_SECONDS)
        return _parse_counts(body.decode())

    def forget_keys(self) -> None:
        """Forget the tokens: TorchServe starts again, and makes new ones."""
        self._keys.reload()


def _path(model: str, version: str | None) -> str:
    """Return the path of *model*, or of one *version*, which clients may have made up."""
    path = f"/models/{model}"
    return path if version is None else f"{path}/{quote(version, safe='')}"


def _parse_counts(text: str) -> TorchServeStats:
    """Return the counters in *text*, Prometheus' format (metrics_mode=prometheus)."""
    models: dict[str, TorchServeModelCounts] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.labels.get("model_name")
            if name is None:
                continue
            counts = models.setdefault(name, TorchServeModelCounts(0, 0.0, 0.0))
            if sample.name == "ts_inference_requests_total":
                counts.jobs += int(sample.value)
            elif sample.name.startswith("ts_inference_latency_microseconds"):
                counts.inference_seconds += sample.value / 1e6
            elif sample.name.startswith("ts_queue_latency_microseconds"):
                counts.queue_seconds += sample.value / 1e6
    return TorchServeStats(
        jobs=sum(model.jobs for model in models.values()),
        inference_seconds=sum(model.inference_seconds for model in models.values()),
        queue_seconds=sum(model.queue_seconds for model in models.values()),
        models=models,
    )
