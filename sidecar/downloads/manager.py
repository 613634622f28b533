"""The downloads of one program: begun, counted, kept on disk, resumed after a restart."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn, assert_never

from sidecar.catalog.downloaded import Downloaded, DownloadedModels
from sidecar.catalog.entries import CatalogError
from sidecar.catalog.model_store import archive_path
from sidecar.downloads import leftovers
from sidecar.downloads.fetch_process import running
from sidecar.downloads.messages import (
    PARTIAL,
    DownloadTarget,
    FetchDone,
    FetchFailed,
    FetchProgress,
    FetchTask,
    download_settings,
)
from sidecar.downloads.record import (
    KEPT,
    DownloadRecord,
    encode_records,
    load_records,
    write_records,
)
from sidecar.downloads.resolution import catalog_target, resolve_request, source_of
from sidecar.errors import (
    DownloadInTheWay,
    DownloadNotFound,
    ModelDownloading,
    ModelNotFound,
    ModelNotReady,
)
from sidecar.models.model import Model
from sidecar.models.operations import Operations
from sidecar.models.registry import ModelRegistry
from sidecar.models.states import State
from sidecar.schemas.downloads import DownloadRequest
from sidecar.schemas.model_spec import ModelSpec, Source
from sidecar.settings import Settings

log = logging.getLogger(__name__)

RECORDS_FILE = "downloads.json"
LOOK_SECONDS = 2.0  # how soon what scripts/models downloaded is noticed
PAUSE_SECONDS = 300.0  # after a failure, before a request may start the same download again
LONGEST_RETRY_SECONDS = 60
SILENT_SECONDS = 300.0  # that a host may send nothing, not even a part of a header


class DownloadManager:
    """At most *max_downloads* at once; a model has one download at a time."""

    def __init__(
        self,
        models: ModelRegistry,
        operations: Operations,
        settings: Settings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._models = models
        self._operations = operations
        self._settings = settings
        self._clock = clock
        self._slots = asyncio.Semaphore(settings.max_downloads)
        self._writing = asyncio.Lock()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._cancelled: set[str] = set()
        self._stamp: int | None = None
        self._place = download_settings(settings)
        self._file = settings.state_dir / RECORDS_FILE
        self.downloaded = DownloadedModels(settings.state_dir)
        self.records = {record.id: record for record in load_records(self._file)}

    def record(self, download_id: str) -> DownloadRecord:
        """Return the download of that id.  Raises DownloadNotFound."""
        if download_id not in self.records:
            raise DownloadNotFound
        return self.records[download_id]

    def active(self, key: str) -> DownloadRecord | None:
        """Return the active download of *key*; None without one."""
        return next((record for record in self._of(key) if record.active), None)

    def last(self, key: str) -> DownloadRecord | None:
        """Return the newest download of *key*; None without one."""
        return max(self._of(key), key=lambda record: record.created_at, default=None)

    async def ask(self, asked: DownloadRequest) -> tuple[DownloadTarget, DownloadRecord | None]:
        """Return the target of the request, and its download: a new one, or the active one.

        There is no download if the model is here and *force* is not set.  Raises InvalidFields,
        ModelNotFound, DownloadInTheWay.
        """
        target = resolve_request(asked, self._models.catalog, self._settings.download_hosts)
        archive = archive_path(self._settings.model_store, target.key)
        here = await asyncio.to_thread(archive.is_file)
        going = self.active(target.key)
        if going is not None and not going.target.is_same(target):
            raise DownloadInTheWay(f"{target.key} is being downloaded as {going.id}", field="name")
        if going is None and (asked.force or not here):
            going = self.begin(target)
        return target, going

    def begin(self, target: DownloadTarget) -> DownloadRecord:
        """Begin a download of *target*."""
        record = DownloadRecord(id=secrets.token_hex(8), target=target, created_at=self._clock())
        ended = [each for each in self.records.values() if not each.active]
        for old in sorted(ended, key=lambda each: each.created_at)[:-KEPT]:
            del self.records[old.id]
        self.records[record.id] = record
        self._start(record)
        return record

    def refuse_missing(self, model: Model, name: str) -> NoReturn:
        """Refuse a request for *model*, which has no archive; begin its download if allowed.

        *name* is what the client called it.  Raises ModelDownloading, or ModelNotFound, which
        says how to get it.
        """
        key, spec = model.key, model.spec
        record = self.active(key)
        if record is None and self._may_begin(key, spec):
            record = self.begin(
                catalog_target(key, spec, max_mb=self._settings.auto_download_max_mb)
            )
        if record is not None:
            wait = min(max(int(record.seconds_left or 5), 2), LONGEST_RETRY_SECONDS)
            raise ModelDownloading(name, record.id, wait)
        raise ModelNotFound(name, self._how_to_get(key, spec), state="available")

    async def cancel(self, download_id: str) -> DownloadRecord:
        """End a download; what has arrived is kept.  Nothing happens to one that has ended."""
        record = self.record(download_id)
        task = self._tasks.get(record.id)
        if task is not None:
            self._cancelled.add(record.id)
            task.cancel()
            await asyncio.wait([task])
            if record.active:  # it had not begun
                self._cancelled.discard(record.id)
                record.end("cancelled", "cancelled", self._clock())
                await self._save()
        return record

    def has_unfinished(self, key: str) -> bool:
        """Return whether a download of *key* is in progress, or one that failed is remembered."""
        return any(record.state != "completed" for record in self._of(key))

    async def remove(self, key: str) -> None:
        """Remove all that was downloaded as *key*, and what is left of downloads that failed.

        A model that was downloaded leaves the program, and its archive and files the disk; one
        that was not stays as it is.
        """
        going = self.active(key)
        if going is not None:
            await self.cancel(going.id)
        if key in await asyncio.to_thread(self.downloaded.records):
            await self._remove(key)
        await asyncio.to_thread(leftovers.clear, self._partial(key))
        for record in self._of(key):
            if not record.active and record.state != "completed":
                del self.records[record.id]
        await self._save()

    async def run(self) -> None:
        """Go on with what was not finished, and notice what `scripts/models` did."""
        unfinished = {
            record.target.key for record in self.records.values() if record.state != "completed"
        }
        base = self._settings.state_dir / PARTIAL
        await asyncio.to_thread(leftovers.sweep, base, unfinished)
        for record in [
            record
            for record in self.records.values()
            if record.active and record.id not in self._tasks
        ]:
            self._start(record)
        self._stamp = await asyncio.to_thread(self.downloaded.stamp)
        try:
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                await self._notice()
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _of(self, key: str) -> Iterable[DownloadRecord]:
        return [record for record in self.records.values() if record.target.key == key]

    def _may_begin(self, key: str, spec: ModelSpec) -> bool:
        """Return whether a request may start the download of this model of models.json."""
        mode = self._settings.auto_downloads
        allowed = mode == "catalog" or (mode == "tts" and spec.task == "speech_synthesis")
        too_large = (spec.size_mb or 0) > self._settings.auto_download_max_mb
        last = self.last(key)
        failed = last is not None and last.state in ("failed", "cancelled")
        if failed and last is not None and last.finished_at is not None:
            allowed = allowed and self._clock() - last.finished_at > PAUSE_SECONDS
        return allowed and not too_large and source_of(spec) is not None

    def _how_to_get(self, key: str, spec: ModelSpec) -> str:
        if source_of(spec) is None:
            return f"no archive; scripts/build_archives {key} makes it"
        how = f"POST /models/download or scripts/models download {key} gets it"
        last = self.last(key)
        tried = f"; the last try failed: {last.error}" if last and last.error else ""
        return f"it is not downloaded yet; {how}{tried}"

    async def _remove(self, key: str) -> None:
        async def delete() -> None:
            await asyncio.to_thread(self._delete, key)

        model = self._models.get(key)
        if model is None:
            await delete()
            return
        reason = ModelNotReady(f"{key} is removed", field="model_name", retry_after=5)
        await self._operations.remove(model, reason, delete)

    def _start(self, record: DownloadRecord) -> None:
        key = record.target.key
        model = self._models.get(key)
        if model is not None and model.state is State.AVAILABLE:
            model.mark_downloading()
        task = asyncio.create_task(self._work(record), name=f"download {key}")
        self._tasks[record.id] = task
        task.add_done_callback(lambda _: self._ended(record))

    def _ended(self, record: DownloadRecord) -> None:
        del self._tasks[record.id]
        model = self._models.get(record.target.key)
        if model is not None and model.state is State.DOWNLOADING:
            model.mark_available()

    async def _work(self, record: DownloadRecord) -> None:
        """Run one download to its end; one that the end of the program stops is resumed later."""
        try:
            await self._save()
            async with self._slots:
                await self._fetch(record)
        except asyncio.CancelledError:
            if record.id not in self._cancelled:
                raise
            self._cancelled.discard(record.id)
            record.end("cancelled", "cancelled", self._clock())
            await asyncio.to_thread(leftovers.tidy, self._partial(record.target.key))
        except Exception:
            log.exception("%s: its download failed", record.target.key)
            record.fail(FetchFailed("an error inside the server; its log says more"), self._clock())
        await self._save()

    async def _fetch(self, record: DownloadRecord) -> None:
        task = FetchTask(target=record.target, place=self._place)
        began, since_bytes = self._clock(), None
        silent_seconds = _silent_seconds(record.target.source)
        async with running(task) as process:
            async for report in process.reports(silent_seconds):
                if isinstance(report, FetchProgress):
                    if since_bytes is None and report.done_bytes:
                        began, since_bytes = self._clock(), report.done_bytes
                    record.advance(report, self._clock() - began, since_bytes or 0)
                else:
                    await self._finish(record, report)

    async def _finish(self, record: DownloadRecord, report: FetchDone | FetchFailed) -> None:
        key = record.target.key
        if isinstance(report, FetchFailed):
            log.warning("%s: not downloaded: %s", key, report.error)
            if not report.kept:
                await asyncio.to_thread(leftovers.clear, self._partial(key))
            record.fail(report, self._clock())
            return
        try:
            await self._install(key, report.record)
        except CatalogError as exc:
            await asyncio.to_thread(self._delete, key)
            record.fail(FetchFailed(str(exc)), self._clock())
            return
        log.info("%s: downloaded %s", key, record.target.shown_id)
        record.done_bytes = record.total_bytes or record.done_bytes
        record.end("completed", "completed", self._clock())

    async def _install(self, key: str, record: Downloaded) -> None:
        """Let *key* be used from now on.  Raises CatalogError when one of its names is taken."""
        reason = ModelNotReady(
            f"{key} is replaced by a new download", field="model_name", retry_after=5
        )
        await self._operations.install(key, record.spec, reason)

    async def _save(self) -> None:
        async with self._writing:
            await asyncio.to_thread(
                write_records, self._file, encode_records(self.records.values())
            )

    async def _notice(self) -> None:
        """Take in the models that another program has downloaded since the last call."""
        stamp = await asyncio.to_thread(self.downloaded.stamp)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        for key, record in (await asyncio.to_thread(self.downloaded.records)).items():
            if key not in self._models and self.active(key) is None:
                try:
                    await self._install(key, record)
                except CatalogError as exc:
                    log.warning("%s", exc)

    def _partial(self, key: str) -> Path:
        return self._settings.state_dir / PARTIAL / key

    def _delete(self, key: str) -> None:
        self.downloaded.drop(key)
        archive_path(self._settings.model_store, key).unlink(missing_ok=True)


def _silent_seconds(source: Source) -> float | None:
    """Return for how long a fetch from *source* may bring no bytes; None: without a limit."""
    match source:
        case "huggingface" | "url":
            return SILENT_SECONDS
        case "package" | "local":
            return None
        case _:
            assert_never(source)
