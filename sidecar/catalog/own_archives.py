"""Archives with custom handlers: what they say of themselves, and which there are.

torch-model-archiver makes them as a `.mar` (zip), a `.tar.gz` or a folder.  Nothing of an archive
is unpacked or run here: its manifest and its `model-config.yaml` are read, each up to a limit.
"""

import logging
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

import msgspec
import yaml

from sidecar.schemas.model_spec import ArchiveName, ModelSpec, folded
from sidecar.settings import MB

log = logging.getLogger(__name__)

MANIFEST = "MAR-INF/MANIFEST.json"
BUILD_FILE = "build.json"  # which every archive of our own building holds
SUFFIXES = (".mar", ".tar.gz", ".tgz")
PYTHON = "python"  # the runtime of a manifest: the Python that TorchServe runs in
# Settings with which TorchServe starts workers, or gives them requests, in a way of its own.
QUEUES_OF_ITS_OWN = (
    "asyncCommunication",
    "clientTimeoutInMills",
    "continuousBatching",
    "maxNumSequence",
    "parallelLevel",
    "parallelType",
    "sequenceBatching",
    "sequenceMaxIdleMSec",
    "torchrun",
    "useJobTicket",
)
MAX_BYTES = MB  # of a manifest, and of a model-config.yaml
MAX_MEMBERS = 100_000  # that are looked through for these two
DAMAGED = (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error, RuntimeError)


class UnreadableArchive(ValueError):
    """This is not an archive that TorchServe could load; the message says why."""


class _Oversized(OSError):
    """A file of an archive is larger than what is read of one."""


class ArchiveFacts(NamedTuple):
    """What an archive says of itself.

    *settings* is its model-config.yaml; *own_python*: its workers run in another Python than those
    of other archives; *ours*: we built it.
    """

    name: str
    version: str
    settings: Mapping[str, Any]
    needs_packages: bool
    own_python: bool
    ours: bool


class _Model(msgspec.Struct, rename="camel"):
    model_name: str | None = None
    model_version: str | float = "1.0"
    config_file: str | None = None
    requirements_file: str | None = None


class _Manifest(msgspec.Struct):
    model: _Model = msgspec.field(default_factory=_Model)
    runtime: str = PYTHON


def read_archive(path: Path) -> ArchiveFacts:
    """Return what the archive or folder *path* says of itself.  Raises UnreadableArchive."""
    try:
        with _opened(path) as archive:
            raw = archive.read(MANIFEST)
            if raw is None:
                raise UnreadableArchive(f"{path.name}: it has no {MANIFEST}")
            manifest = msgspec.json.decode(raw, type=_Manifest)
            model = manifest.model
            settings = _settings(archive, model.config_file, path)
            return ArchiveFacts(
                name=model.model_name or archive_stem(path.name),
                version=str(model.model_version),
                settings=settings,
                needs_packages=model.requirements_file is not None,
                own_python=manifest.runtime != PYTHON or settings.get("useVenv") is True,
                ours=archive.has(BUILD_FILE),
            )
    except DAMAGED as exc:
        raise UnreadableArchive(f"{path.name}: {exc or type(exc).__name__}") from exc
    except msgspec.DecodeError as exc:
        raise UnreadableArchive(f"{path.name}: {MANIFEST}: {exc}") from exc


def archive_stem(name: str) -> str:
    """Return the name of an archive without what tells its kind."""
    return next((name.removesuffix(each) for each in SUFFIXES if name.endswith(each)), name)


def archives_in(store: Path) -> Iterator[Path]:
    """Yield what in *store* may be an archive: files by their suffix, folders by their manifest."""
    try:
        paths = sorted(store.iterdir())
    except OSError:
        return
    for path in paths:
        if path.name.startswith(".") or not _is_archive_name(path.name):
            continue
        if path.name.endswith(SUFFIXES) if path.is_file() else root_folder(path) is not None:
            yield path


def newest_first(paths: Iterable[Path]) -> list[Path]:
    """Return *paths* ordered by the versions in the archives; unreadable ones come last."""

    def version(path: Path) -> tuple[tuple[int, int | str], ...]:
        try:
            return version_order(read_archive(path).version)
        except UnreadableArchive:
            return ()

    return sorted(paths, key=version, reverse=True)


class Found(NamedTuple):
    """The archives of a model store that no catalog has, and why some are not offered."""

    specs: dict[str, ModelSpec]
    left_out: list[str]


def find_archives(store: Path, specs: Mapping[str, ModelSpec]) -> Found:
    """Return the archives in *store* beside those of *specs*, each under its model's name.

    Those that this program built are left out: they belong to an entry, or to a former one.  Of
    several versions of a model, the newest is its default, and those of an entry are no models of
    their own.
    """
    taken = {name for key, spec in specs.items() for name in spec.names(key)}
    own = {folded(key): spec.version for key, spec in specs.items() if spec.is_own}
    known = {spec.archive_name(key) for key, spec in specs.items()}
    newest: dict[str, tuple[ArchiveFacts, Path]] = {}
    left_out: list[str] = []
    for path in archives_in(store):
        if path.name in known:
            continue
        try:
            facts = read_archive(path)
        except UnreadableArchive as exc:
            left_out.append(str(exc))
            continue
        if facts.ours or own.get(folded(facts.name), facts.version) != facts.version:
            continue
        if reason := _unfit(facts.name, taken):
            left_out.append(f"{path.name}: {reason}; scripts/models add gives it another name")
            continue
        other = newest.get(folded(facts.name))
        if other is None or version_order(other[0].version) < version_order(facts.version):
            newest[folded(facts.name)] = facts, path
    return Found(
        {facts.name: _found_spec(facts, path) for facts, path in newest.values()}, left_out
    )


def own_entry(key: str, entry: Mapping[str, Any], store: Path | None) -> dict[str, Any]:
    """Return *entry*, one of models.json with the handler `own`, completed by its archive.

    What the entry says counts, what it leaves out is as the archive has it.  One that cannot be
    read completes nothing: TorchServe will say why it does not load.
    """
    completed: dict[str, Any] = {
        "display_name": key,
        "description": "A model with a custom handler.",
        "source": "archive",
        "task": "own",
    }
    completed |= entry
    if store is None:
        return completed
    path = store / str(entry.get("archive") or f"{key}.mar")
    try:
        facts = read_archive(path)
    except UnreadableArchive as exc:
        log.warning("%s: %s", key, exc)
        return completed
    given = entry.get("inference", {})
    if isinstance(given, dict):
        completed["inference"] = _inference(facts, given)
    return {"version": facts.version} | completed


def version_order(version: str) -> tuple[tuple[int, int | str], ...]:
    """Return a sort key that orders versions by their numbers: 1.10 after 1.9."""
    parts = re.findall(r"\d+|[^\d.]+", version)
    return tuple((1, int(part)) if part.isdigit() else (0, part) for part in parts)


def _is_archive_name(name: str) -> bool:
    try:
        msgspec.convert(name, ArchiveName)
    except msgspec.ValidationError:
        return False
    return True


def _unfit(name: str, taken: Iterable[str]) -> str | None:
    if not _is_archive_name(name):
        return f"its model is called {name!r}, which cannot stand in an address"
    if "token" in name:
        return f"{name!r} contains 'token': TorchServe takes its calls for those of its token API"
    if folded(name) in taken:
        return f"the name {name!r} is taken by models.json"
    return None


def _found_spec(facts: ArchiveFacts, path: Path) -> ModelSpec:
    entry = {
        "display_name": facts.name,
        "description": f"The archive {path.name} of the model store.",
        "source": "archive",
        "task": "own",
        "handler": "own",
        "archive": path.name,
        "version": facts.version,
        "inference": _inference(facts, {}),
    }
    return msgspec.convert(entry, ModelSpec)


def _inference(facts: ArchiveFacts, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the field `inference`: *given* before what the archive's settings say.

    What is in neither is as TorchServe has it by default.
    """
    settings = facts.settings
    batch_size = given.get("batch_size") or _number(settings, "batchSize", 1, 1)
    least = _number(settings, "minWorkers", 1, 1)
    workers = {"min": least, "max": max(least, _number(settings, "maxWorkers", 1, least))}
    return {
        "max_batch_size": batch_size,
        "batch_delay_ms": _number(settings, "maxBatchDelay", 0, 100),
        "continuous_batching": settings.get("continuousBatching") is True,
        "torchserve_batches": facts.own_python or any(map(settings.get, QUEUES_OF_ITS_OWN)),
        "workers": workers,
        "job_timeout_seconds": _number(settings, "responseTimeout", 1, 120),
        "startup_timeout_seconds": _number(settings, "startupTimeout", 1, 120),
        **given,
        "batch_size": batch_size,
    }


def _number(settings: Mapping[str, Any], name: str, least: int, default: int) -> int:
    """Return a number of the settings; the default where TorchServe takes it for unset."""
    value = settings.get(name)
    sound = isinstance(value, int) and not isinstance(value, bool) and value >= least
    return int(value) if sound and value is not None else default


def _settings(archive: "_Archive", name: str | None, path: Path) -> Mapping[str, Any]:
    raw = archive.read(name) if name else None
    if raw is None:
        return {}
    try:
        settings = yaml.safe_load(raw)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as exc:
        log.warning("%s: %s is not YAML (%s): it is left out", path.name, name, type(exc).__name__)
        return {}
    return settings if isinstance(settings, dict) else {}


class _Archive:
    """Reads single files of an archive; *files* are those that it was asked to keep, by name."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)

    def has(self, name: str) -> bool:
        """Return whether there is a file *name*."""
        return name in self._names

    def read(self, name: str) -> bytes | None:
        """Return the content of *name*; None when there is none."""
        if not self.has(name):
            return None
        with self._open(name) as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise _Oversized(f"{name} is larger than {MAX_BYTES} bytes")
        return content

    def _open(self, name: str) -> IO[bytes]:
        raise NotImplementedError


class _Zip(_Archive):
    def __init__(self, file: zipfile.ZipFile) -> None:
        super().__init__(file.namelist())
        self._file = file

    def _open(self, name: str) -> IO[bytes]:
        return self._file.open(name)


class _Tar(_Archive):
    """TorchServe drops the first folder of every name, whatever it is."""

    def __init__(self, file: tarfile.TarFile) -> None:
        self._members: dict[str, tarfile.TarInfo] = {}
        for count, member in enumerate(file):
            if count >= MAX_MEMBERS:
                raise _Oversized(f"it has more than {MAX_MEMBERS} files")
            if member.isfile():
                self._members[member.name.partition("/")[2] or member.name] = member
        super().__init__(self._members)
        self._file = file

    def _open(self, name: str) -> IO[bytes]:
        file = self._file.extractfile(self._members[name])
        assert file is not None, "only files are kept"
        return file


class _Folder(_Archive):
    def __init__(self, folder: Path) -> None:
        super().__init__(())
        self._folder = folder

    def has(self, name: str) -> bool:
        """Return whether there is a file *name*, which no `..` leads out of the folder."""
        return ".." not in PurePosixPath(name).parts and (self._folder / name).is_file()

    def _open(self, name: str) -> IO[bytes]:
        return (self._folder / name).open("rb")


@contextmanager
def _opened(path: Path) -> Iterator[_Archive]:
    if path.is_dir():
        root = root_folder(path)
        if root is None:
            raise UnreadableArchive(f"{path.name}: it has no {MANIFEST}")
        yield _Folder(root)
    elif path.name.endswith(".mar"):
        with zipfile.ZipFile(path) as packed:
            yield _Zip(packed)
    else:
        with tarfile.open(path, "r:gz") as packed:
            yield _Tar(packed)


def root_folder(folder: Path) -> Path | None:
    """Return where in *folder* its manifest lies, at its top or in its only folder; else None."""
    if (folder / MANIFEST).is_file():
        return folder
    try:
        inside = [each for each in folder.iterdir() if not each.name.startswith(".")]
    except OSError:  # it has just gone
        return None
    if len(inside) == 1 and (inside[0] / MANIFEST).is_file():
        return inside[0]
    return None
