"""`scripts/models check`: an entry loaded as a worker would, without a server."""

import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from sidecar.archives import archive
from sidecar.catalog.catalog import Catalog
from sidecar.catalog.downloaded import DownloadedModels
from sidecar.catalog.handler_options import HANDLERS
from sidecar.catalog.own_archives import DAMAGED, MANIFEST, root_folder
from sidecar.schemas.model_spec import ModelSpec
from sidecar.settings import MB, Settings
from sidecar.torchserve.process import allowed_environment
from sidecar.torchserve.worker_log import shown

PROGRAM = HANDLERS / "model_trial.py"
MOST_CHARACTERS = 200  # of an answer that is shown

Say = Callable[[str], None]


class _Trial(msgspec.Struct):
    """What came of one load."""

    error: str | None = None
    load_seconds: float = 0.0
    device: str | None = None
    precision: str | None = None
    rss_bytes: int = 0
    gpu_bytes: int = 0
    answer: str | None = None
    answer_seconds: float = 0.0


class CheckFailed(RuntimeError):
    """A model cannot be loaded or run; the message is the sentence for its owner."""


def check_models(settings: Settings, catalog: Catalog, keys: Iterable[str], say: Say) -> bool:
    """Check each of *keys* and say what came of it; return whether all are well."""
    well = True
    for key in keys:
        try:
            trial = _try(settings, key, catalog[key])
        except (CheckFailed, archive.BuildError) as exc:
            say(f"{key}: {exc}")
            well = False
            continue
        say(f"{key}: {_figures(trial)}")
        if trial.answer is not None:
            say(f"  a sample was answered in {trial.answer_seconds * 1000:.1f} ms: {_short(trial)}")
        elif trial.device is not None:
            say("  it has no sample to run: handler_options.input.shape would make one")
        else:
            say("  no sample was run: its handler is its own, and only that knows its inputs")
    return well


def _try(settings: Settings, key: str, spec: ModelSpec) -> _Trial:
    """Load *key* in a process of its own.  Raises CheckFailed or BuildError."""
    seconds = spec.inference.startup_timeout_seconds
    with _unpacked(settings, key, spec) as folder, tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        try:
            done = subprocess.run(  # noqa: S603 - our own interpreter and program
                [sys.executable, str(PROGRAM), str(folder), str(report)],
                env=allowed_environment(os.environ, settings.worker_variables)
                | {"PYTHONDONTWRITEBYTECODE": "1"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise CheckFailed(
                f"it was not loaded within {seconds} s (inference.startup_timeout_seconds)"
            ) from None
        if not report.exists():
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            raise CheckFailed(
                shown(lines[-1]) if lines else f"its process ended with code {done.returncode}"
            )
        trial = msgspec.json.decode(report.read_bytes(), type=_Trial)
    if trial.error is not None:
        raise CheckFailed(shown(trial.error))
    return trial


@contextmanager
def _unpacked(settings: Settings, key: str, spec: ModelSpec) -> Iterator[Path]:
    """Unpack the archive of *key* as its entry and files are now.

    Raises BuildError and CheckFailed.
    """
    stored = settings.model_store / spec.archive_name(key)
    base = settings.models_file.resolve().parent
    downloaded = DownloadedModels(settings.state_dir)
    if (files := downloaded.to_build(key, spec)) is not None:
        spec, base = files, downloaded.base
    elif spec.is_downloaded and not stored.exists():
        raise archive.BuildError(f"it is not here; scripts/models download {key} gets it")
    with tempfile.TemporaryDirectory(prefix="check-") as scratch:
        path = stored
        if not (spec.is_own or archive.is_current(stored, key, spec, base)):
            path = Path(scratch) / "built" / f"{key}.mar"
            cache = settings.state_dir / "packages"
            archive.build(path, key, spec, base=base, cache=cache)
        folder = path
        if not path.is_dir():  # else an archive of somebody else's that is unpacked already
            folder = Path(scratch) / "model"
            _unpack(path, folder)
        root = root_folder(folder)
        if root is None:
            raise CheckFailed(f"{path.name}: it has no {MANIFEST}")
        yield root


def _unpack(path: Path, folder: Path) -> None:
    """Unpack the archive *path* into *folder* as TorchServe does.  Raises CheckFailed."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as packed:
                packed.extractall(folder)  # noqa: S202 - zipfile keeps names inside
        else:
            with tarfile.open(path, "r:gz") as packed_tar:
                packed_tar.extractall(folder, filter=_without_first_folder)  # noqa: S202
    except DAMAGED as exc:
        raise CheckFailed(f"{path.name}: {exc or type(exc).__name__}") from exc


def _without_first_folder(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
    """Return *member* as TorchServe names it; nothing leads out of *folder*."""
    name = member.name.partition("/")[2] or member.name
    return tarfile.data_filter(member.replace(name=name, deep=False), folder)


def _figures(trial: _Trial) -> str:
    gpu = f", {trial.gpu_bytes / MB:.0f} MB of the GPU" if trial.gpu_bytes else ""
    how = f"{trial.device}, {trial.precision}, " if trial.device else ""
    return f"{how}{trial.rss_bytes / MB:.0f} MB{gpu}, loaded in {trial.load_seconds:.1f} s"


def _short(trial: _Trial) -> str:
    answer = trial.answer or ""
    return answer if len(answer) <= MOST_CHARACTERS else f"{answer[:MOST_CHARACTERS]}…"
