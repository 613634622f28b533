"""`scripts/models`: list, add, download, build and remove models, with or without a server."""

import argparse
import functools
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec
from tqdm import tqdm

from sidecar.archives import __main__ as building
from sidecar.archives.adding import (
    add_entries,
    read_entries,
    stored,
    tell_of_server,
)
from sidecar.archives.archive import BuildError
from sidecar.catalog.catalog import Catalog, load_catalog
from sidecar.catalog.downloaded import DownloadedModels
from sidecar.catalog.entries import CatalogError, own_archive_entry
from sidecar.catalog.model_store import archive_path
from sidecar.catalog.own_archives import SUFFIXES
from sidecar.downloads import leftovers
from sidecar.downloads.checking import check_models
from sidecar.downloads.fetch_process import read_task
from sidecar.downloads.fetcher import Fetcher
from sidecar.downloads.messages import (
    PARTIAL,
    DownloadFailed,
    FetchDone,
    FetchFailed,
    FetchProgress,
    FetchTask,
    Report,
    download_settings,
)
from sidecar.downloads.resolution import resolve_request, source_of
from sidecar.errors import SidecarError
from sidecar.schemas.downloads import DownloadRequest
from sidecar.schemas.model_spec import Source
from sidecar.settings import MB, Settings, SettingsError, load_settings


def main(arguments: Sequence[str]) -> int:
    """Return the exit code: 0 done, 1 it did not work, 2 wrong use."""
    if list(arguments) == ["fetch"]:
        return _fetch()
    options = _parser().parse_args(arguments)
    try:
        settings = load_settings()
        downloaded = DownloadedModels(settings.state_dir)
        catalog = load_catalog(
            settings.models_file,
            downloaded.records(),
            settings.model_store,
            serve_archives=settings.serve_archives is not False,
        )
        return int(options.run(options, settings, catalog))
    except SidecarError as exc:
        print(f"models: {exc.detail}", file=sys.stderr)  # noqa: T201
        return 2
    except (SettingsError, CatalogError, BuildError, DownloadFailed, OSError) as exc:
        print(f"models: {exc}", file=sys.stderr)  # noqa: T201
        return 2
    except KeyboardInterrupt:
        print("stopped; the next try continues from here", file=sys.stderr)  # noqa: T201
        return 130


def _fetch() -> int:
    """Run as the server's process: read a task from standard input, write reports to output."""
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # so that what it was building is removed
    task = read_task(sys.stdin)

    def say(report: Report) -> None:
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
        sys.stdout.buffer.flush()

    try:
        Fetcher(task, say).run()
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/models", description="Models, here and elsewhere."
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    listing = commands.add_parser("list", help="every model, and whether it is here")
    listing.set_defaults(run=_list)
    download = commands.add_parser("download", help="download models, and build their archives")
    download.add_argument("models", nargs="+", help="of models.json; or hub ids, with --name")
    download.add_argument("--name", help="the name here of a model that is not in models.json")
    download.add_argument("--source", choices=get_args(Source), default="huggingface")
    download.add_argument("--task", help="its task, where its config leaves a choice")
    download.add_argument("--revision", help="its branch, tag or commit")
    download.add_argument("--sha256", help="of the file at an address")
    download.add_argument("--force", action="store_true", help="download even what is here already")
    download.set_defaults(run=_download)
    add = commands.add_parser("add", help="add an entry to models.json, and to a running server")
    add.add_argument(
        "entry",
        type=Path,
        help='a file: {"name": {…}}; - for standard input; or an archive with a custom handler',
    )
    own = add.add_argument_group("of an archive, in place of what it says itself")
    own.add_argument("--name", help="what its model is called here")
    own.add_argument("--batch-size", type=int, help="requests that TorchServe puts together")
    own.add_argument("--batch-delay-ms", type=int, help="for which the first of them waits")
    own.add_argument("--workers", type=int, help="processes while it is awake")
    add.set_defaults(run=_add)
    check = commands.add_parser("check", help="load models as a worker would, and run a sample")
    check.add_argument("models", nargs="*", help="names (default: all enabled but optional ones)")
    check.set_defaults(run=_check)
    build = commands.add_parser("build", help="build archives from what is here")
    build.add_argument("models", nargs="*")
    build.add_argument("--version", help="of one model: beside its own")
    build.add_argument("--force", action="store_true")
    build.set_defaults(run=_build)
    remove = commands.add_parser("remove", help="remove downloaded models")
    remove.add_argument("models", nargs="+")
    remove.set_defaults(run=_remove)
    return parser


def _list(_: argparse.Namespace, settings: Settings, catalog: Catalog) -> int:
    downloaded = DownloadedModels(settings.state_dir).records()
    print(f"{'name':22} {'task':24} {'source':12} {'MB':>8}  state")  # noqa: T201
    for key, spec in catalog.items():
        archive = archive_path(settings.model_store, key)
        here = archive.stat().st_size / MB if archive.is_file() else spec.size_mb
        size = "?" if here is None else f"{here:.1f}"
        state = "here" if archive.is_file() else "available"
        if key in downloaded and (revision := downloaded[key].revision):
            state += f" ({revision[:12]})"
        print(f"{key:22} {spec.task:24} {spec.source:12} {size:>8}  {state}")  # noqa: T201
    return 0


def _download(options: argparse.Namespace, settings: Settings, catalog: Catalog) -> int:
    if len(options.models) > 1 and options.name:
        raise DownloadFailed("--name requires exactly one model")
    return max(_download_one(name, options, settings, catalog) for name in options.models)


def _download_one(
    model: str, options: argparse.Namespace, settings: Settings, catalog: Catalog
) -> int:
    key = catalog.key_of(model)
    source = source_of(catalog[key]) if key else None
    asked = DownloadRequest(
        source=source or options.source,
        model_id=catalog[key].model_id or key if key and source == "huggingface" else model,
        name=options.name or key or model.rpartition("/")[2],
        task=options.task,
        revision=options.revision,
        sha256=options.sha256,
    )
    target = resolve_request(asked, catalog, settings.download_hosts)
    if archive_path(settings.model_store, target.key).is_file() and not options.force:
        print(f"{target.key} is here already; --force downloads it again")  # noqa: T201
        return 0
    settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    bar = _Bar(target.key)
    Fetcher(FetchTask(target=target, place=download_settings(settings)), bar.show).run()
    return bar.end()


def _add(options: argparse.Namespace, settings: Settings, catalog: Catalog) -> int:
    if options.entry.is_dir() or options.entry.name.endswith(SUFFIXES):
        return _add_archive(options, settings, catalog)
    from_stdin = str(options.entry) == "-"
    text = sys.stdin.read() if from_stdin else options.entry.read_text(encoding="utf-8")
    entries = read_entries(options.entry, text)
    specs = add_entries(settings, catalog, entries, str(options.entry), print)
    return 0 if tell_of_server(settings, specs, print) else 1


def _add_archive(options: argparse.Namespace, settings: Settings, catalog: Catalog) -> int:
    archive: Path = options.entry
    said = {"batch_size": options.batch_size, "batch_delay_ms": options.batch_delay_ms}
    inference: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
    if options.workers is not None:
        inference["workers"] = {"min": options.workers, "max": options.workers}
    entries = own_archive_entry(archive, options.name, inference)
    for key in catalog.found & entries.keys():
        catalog = catalog.without(key)  # it has an entry from now on
    with stored(archive, settings.model_store):
        specs = add_entries(settings, catalog, entries, str(archive), print)
    return 0 if tell_of_server(settings, specs, print) else 1


def _check(options: argparse.Namespace, settings: Settings, catalog: Catalog) -> int:
    broken = [] if options.models else list(catalog.broken.values())
    for sentence in broken:
        print(sentence)  # noqa: T201
    keys = [catalog.require(name) for name in options.models] or [
        key
        for key, spec in catalog.items()
        if spec.enabled
        and (not spec.can_be_missing or archive_path(settings.model_store, key).exists())
    ]
    say = functools.partial(print, flush=True)
    return 0 if check_models(settings, catalog, keys, say) and not broken else 1


def _build(options: argparse.Namespace, _: Settings, __: Catalog) -> int:
    force = ["--force"] if options.force else []
    version = ["--version", options.version] if options.version else []
    return building.main([*options.models, *version, *force])


def _remove(options: argparse.Namespace, settings: Settings, catalog: Catalog) -> int:
    downloaded = DownloadedModels(settings.state_dir)
    code = 0
    for name in options.models:
        key = catalog.key_of(name)
        if key is None or key not in downloaded.records():
            print(f"models: {name} was not downloaded", file=sys.stderr)  # noqa: T201
            code = 1
            continue
        downloaded.drop(key)
        leftovers.clear(settings.state_dir / PARTIAL / key)
        archive_path(settings.model_store, key).unlink(missing_ok=True)
        print(f"{key} is removed; a server that has loaded it serves it until it stops")  # noqa: T201
    return code


class _Bar:
    """Progress: a bar on a terminal, else a line for each step."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._message = ""
        self._failed = False
        self._bar = tqdm(unit="B", unit_scale=True, unit_divisor=1024, disable=None, desc=key)

    def show(self, report: Report) -> None:
        """Show one report."""
        if isinstance(report, FetchProgress):
            self._bar.total = report.total_bytes
            self._bar.n = report.done_bytes
            self._bar.set_description(f"{self._key}: {report.message}")
            if self._bar.disable and report.message != self._message:
                print(f"{self._key}: {report.message}", flush=True)  # noqa: T201
            self._message = report.message
            return
        self._bar.close()
        if isinstance(report, FetchDone):
            size = report.record.size_bytes / MB
            print(f"{self._key}: {size:.1f} MB, ready to be loaded", flush=True)  # noqa: T201
        elif isinstance(report, FetchFailed):
            self._failed = True
            print(f"models: {self._key}: {report.error}", file=sys.stderr)  # noqa: T201

    def end(self) -> int:
        """Return the exit code."""
        return 1 if self._failed else 0
