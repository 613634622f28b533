"""A TorchServe of our own: started behind Unix sockets, restarted when it dies, stopped with us.

Its sockets, temp folder and working directory lie in a 0700 folder that is made for this
one process and removed after it; the umask is 077 (`__main__` sets it), so no other user
of the machine reaches it.  Its workers inherit only the variables of `ALLOWED_VARIABLES`, and those
that the operator names.
"""

import asyncio
import logging
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec
import psutil

from sidecar.durable_files import write_whole
from sidecar.settings import ENVIRONMENT_PREFIX, Settings
from sidecar.torchserve.batch_sizes import BatchSizes
from sidecar.torchserve.worker_template import LAUNCHER, WorkerTemplate, can_fork_workers

log = logging.getLogger(__name__)

ALLOWED_VARIABLES = re.compile(
    r"PATH|HOME|USER|LOGNAME|LANG|LC_\w+|TZ|VIRTUAL_ENV|LD_LIBRARY_PATH"
    r"|CC|CXX|TRITON_\w+|CUDA_\w+|NVIDIA_\w+|NCCL_\w+|PYTORCH_\w+|TORCH_\w+|TORCHINDUCTOR_\w+|OMP_\w+|MKL_\w+|KMP_\w+"
)
LOG_CONFIG = Path(__file__).with_name("log4j2.xml")
FOLDER_PREFIX = "torchserve-"
RECORD = "torchserve-{}.json"  # in the state folder, by port
PROGRAMS = Path(__file__).with_name("programs")  # for machines that do not have them
STARTER = Path(__file__).with_name("starter.py")
STOP_SECONDS = 15.0
SOCKET_PATH_BYTES = 100  # the kernel takes 107


class _Record(msgspec.Struct):
    """What the next start needs to clean up after a sidecar that was killed."""

    pid: int
    folder: str


class TorchServeProcess:
    """One TorchServe process group and its private folder.

    *gpu_indices* are the GPUs that it and its workers may use, by their places on the bus; None:
    all there are.  *template*, if there is one, is what its workers are forked from; *batch_sizes*
    is what they read, None: this system does not run our launcher.
    """

    def __init__(
        self, settings: Settings, java_home: Path, gpu_indices: Sequence[int] | None = None
    ) -> None:
        self._settings = settings
        self._java_home = java_home
        self._gpu_indices = gpu_indices
        self._logs = settings.logs.resolve()
        self._store = settings.model_store.resolve()
        self._record_file = settings.state_dir / RECORD.format(settings.port)
        self._compiled = settings.state_dir.resolve() / "compiled"  # kept from start to start
        self._process: asyncio.subprocess.Process | None = None
        self._tie: int | None = None  # TorchServe is killed once this descriptor is closed
        self.starts = 0
        places = (tempfile.gettempdir(), "/tmp", settings.state_dir.resolve())  # noqa: S108 - 0700
        self.folder = private_folder(*places)
        launches = os.access(LAUNCHER, os.X_OK)
        self.batch_sizes = BatchSizes(self.folder / "batch_sizes") if launches else None
        self.template = (
            WorkerTemplate(self.folder / "template.sock", self._environment, self._logs)
            if settings.worker_template and can_fork_workers()
            else None
        )

    def url(self, api: str) -> str:
        """Return the address of the *inference*, *management* or *metrics* API."""
        return f"unix:{self.folder}/{api}.sock"

    @property
    def key_file(self) -> Path:
        """Where this TorchServe writes its tokens."""
        return self.folder / "work" / "key_file.json"

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        process = self._process
        return process.pid if process and process.returncode is None else None

    def pids(self) -> list[int]:
        """Return Java's process and the workers' template, as far as they run."""
        return [pid for pid in (self.java_pid, self.template_pid) if pid is not None]

    @property
    def template_pid(self) -> int | None:
        """The workers' template, while it runs."""
        return self.template.pid if self.template else None

    @property
    def java_pid(self) -> int | None:
        """Java's process; None while it has hardly begun, or has ended."""
        try:
            return int((self.folder / "tmp" / ".model_server.pid").read_text())
        except (OSError, ValueError):
            return None

    async def start(self) -> None:
        """Start the process; it does not answer yet when this returns."""
        self.starts += 1
        await asyncio.to_thread(self._prepare)
        python = sys.executable if self.batch_sizes is None else str(LAUNCHER)
        command = [sys.executable, "-P", str(STARTER), python, "--start", "--foreground", "--ncs"]
        command += ["--ts-config", str(self.folder / "config.properties")]
        command += ["--model-store", str(self._store)]
        command += ["--log-config", str(LOG_CONFIG)]
        output = await asyncio.to_thread((self._logs / "torchserve.out").open, "wb")
        self._untie()
        starter_end, self._tie = os.pipe()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                cwd=self.folder / "work",
                env=self._environment(),
                stdin=starter_end,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        finally:
            os.close(starter_end)
            output.close()
        try:
            await asyncio.to_thread(self._record, self._process.pid)
        except OSError:  # the next start could not end it
            self.kill()
            raise
        log.info("started TorchServe, process %d", self._process.pid)

    async def wait(self) -> int:
        """Wait until the process has ended; kill the rest of its group; return the exit code."""
        assert self._process is not None
        code = await self._process.wait()
        _signal_group(self._process.pid, signal.SIGKILL)
        return code

    async def stop(self) -> None:
        """End TorchServe and its workers, and remove the folder.  Safe to call twice."""
        process = self._process
        if process is not None:
            if await asyncio.to_thread(self._terminate_java):
                with suppress(TimeoutError):
                    async with asyncio.timeout(STOP_SECONDS):
                        await process.wait()
            _signal_group(process.pid, signal.SIGKILL)
            await process.wait()
        self._untie()
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)
        await asyncio.to_thread(self._record_file.unlink, missing_ok=True)

    def _untie(self) -> None:
        """Close our end of the last process's tie: what of it still lives is killed."""
        if self._tie is not None:
            os.close(self._tie)
            self._tie = None

    def kill(self) -> None:
        """Kill the process group; `wait` and `stop` then return soon."""
        if self.pid is not None:
            _signal_group(self.pid, signal.SIGKILL)

    def _terminate_java(self) -> bool:
        """Send SIGTERM to Java alone: its starter waits for it, and it waits for its workers.

        Return False if Java has hardly begun or has ended, and need not be waited for.
        """
        if (pid := self.java_pid) is None:
            return False
        try:
            os.kill(pid, signal.SIGTERM)
        except OSError:
            return False
        return True

    def _prepare(self) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        for left in self.folder.iterdir():  # by the TorchServe before; the template outlives it
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            elif self.template is None or left != self.template.address:
                left.unlink()
        for folder in (self.folder / "work", self.folder / "tmp", self.folder / "batch_sizes"):
            folder.mkdir(mode=0o700)
        self._logs.mkdir(parents=True, exist_ok=True)
        self._compiled.mkdir(mode=0o700, exist_ok=True)
        text = self._settings.torchserve_config.read_text()
        (self.folder / "config.properties").write_text(render_config(text, self._overrides()))

    def _record(self, pid: int) -> None:
        write_whole(self._record_file, msgspec.json.encode(_Record(pid, str(self.folder))))

    def _overrides(self) -> dict[str, str]:
        gpus = {} if self._gpu_indices is None else {"number_of_gpu": str(len(self._gpu_indices))}
        return gpus | {
            "inference_address": self.url("inference"),
            "management_address": self.url("management"),
            "metrics_address": self.url("metrics"),
            "model_store": str(self._store),
            "allowed_urls": f"file://{re.escape(str(self._store))}/[^/]+\\.mar".replace(
                "\\", "\\\\"
            ),
        }

    def _environment(self) -> dict[str, str]:
        temp = str(self.folder / "tmp")
        inherited = allowed_environment(os.environ, self._settings.worker_variables)
        triton = str(self._compiled / "triton")
        own = str(Path(sys.executable).parent)  # where torchrun lies, which Java starts by name
        # Threads that wait in a loop take the cores that Java and the sidecar need; CUDA's own
        # order of GPUs, the fastest first, is not that of NVML.
        return (
            {"OMP_WAIT_POLICY": "PASSIVE", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
            | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
            | {"TORCHINDUCTOR_CACHE_DIR": str(self._compiled), "TRITON_CACHE_DIR": triton}
            | inherited
            | self._visible_gpus()
            | ({} if self.batch_sizes is None else self._launchers_variables(self.batch_sizes))
            | {
                "PATH": os.pathsep.join([own, inherited.get("PATH", os.defpath), str(PROGRAMS)]),
                "JAVA_HOME": str(self._java_home),
                "LOG_LOCATION": str(self._logs),
                "METRICS_LOCATION": str(self._logs),
                "TMPDIR": temp,
                "TEMP": temp,
                "PYTHONDONTWRITEBYTECODE": "1",
            }
        )

    def _launchers_variables(self, batch_sizes: BatchSizes) -> dict[str, str]:
        """Return what our launcher, and the workers that it starts, read."""
        template = {} if self.template is None else self.template.variables
        return {
            "WORKER_PYTHON": sys.executable,
            BatchSizes.VARIABLE: str(batch_sizes.folder),
        } | template

    def _visible_gpus(self) -> dict[str, str]:
        """Return the variables that name the GPUs, as indices in the order of the bus for Java."""
        if self._gpu_indices is None:
            return {}
        names = ",".join(map(str, self._gpu_indices))
        return {"CUDA_VISIBLE_DEVICES": names, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def allowed_environment(environ: Mapping[str, str], named: Collection[str]) -> dict[str, str]:
    """Return what of *environ* TorchServe and its workers may see.

    That is what they need to run at all, and what the patterns *named* by the operator match.
    """
    return {
        name: value
        for name, value in environ.items()
        if ALLOWED_VARIABLES.fullmatch(name) or _is_named(name, named)
    }


def _is_named(name: str, patterns: Collection[str]) -> bool:
    """Return whether any of *patterns* matches *name*, which is no variable of ours."""
    ours = name.startswith(ENVIRONMENT_PREFIX)
    return not ours and any(fnmatchcase(name, pattern) for pattern in patterns)


def render_config(text: str, overrides: Mapping[str, str]) -> str:
    """Return the properties in *text* with *overrides* in place of what it says of those keys."""
    kept = [line for line in text.splitlines() if line.partition("=")[0].strip() not in overrides]
    return "\n".join([*kept, *(f"{key}={value}" for key, value in overrides.items()), ""])


def end_leftovers(state_dir: Path) -> None:
    """Remove what killed sidecars of this state folder left, and end TorchServe if it still runs.

    It does where the kernel cannot end it with the sidecar.

    The caller owns the state folder, so whoever wrote a record there is dead.  A process belongs to
    a record if it is of the process group that the record names, and its command line has the
    record's private folder: that name is random, so a process that was given the same number later
    is safe.
    """
    for record_file in sorted(state_dir.glob(RECORD.format("*"))):
        try:
            record = msgspec.json.decode(record_file.read_bytes(), type=_Record)
        except OSError as exc:
            log.warning("%s cannot be read: %s", record_file, exc)
            continue
        except msgspec.DecodeError as exc:
            log.warning("%s is spoiled and removed: %s", record_file, exc)
            record_file.unlink(missing_ok=True)
            continue
        folder = Path(record.folder)
        if not _is_private_folder(folder):
            log.warning("%s: %s is not a folder of ours; it is left alone", record_file, folder)
        else:
            if leftover := _processes_of(record):
                log.warning("ending TorchServe %d, left by a sidecar that was killed", record.pid)
            for process in leftover:
                with suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(leftover, STOP_SECONDS)
            shutil.rmtree(folder, ignore_errors=True)
        record_file.unlink(missing_ok=True)


def _processes_of(record: _Record) -> list[psutil.Process]:
    """Return what lives of a TorchServe: its starter, Java and the workers."""
    mark = re.compile(rf"{re.escape(record.folder)}(/|$)")
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(map(mark.search, process.info["cmdline"] or ()))
        and _group_of(process.pid) == record.pid
    ]


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _is_private_folder(folder: Path) -> bool:
    """Return whether *folder* can be one that `private_folder` made; a record may be spoiled."""
    return (
        folder.is_absolute() and folder.name.startswith(FOLDER_PREFIX) and ".." not in folder.parts
    )


def allows_execution(folder: Path) -> bool:
    """Return whether the file system of *folder* is not mounted noexec."""
    return sys.platform != "linux" or not os.statvfs(folder).f_flag & os.ST_NOEXEC


def private_folder(
    *places: str | Path, executable: Callable[[Path], bool] = allows_execution
) -> Path:
    """Make a folder for TorchServe in the first of *places* that will do.

    It needs a short path, for the sockets, and to be *executable*: Java unpacks a library there and
    loads it.  Raises OSError if none will do.
    """
    for place in places:
        folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=place))  # mode 0700
        is_short = len(os.fsencode(folder)) + len("/management.sock") <= SOCKET_PATH_BYTES
        if is_short and executable(folder):
            return folder
        folder.rmdir()
    raise OSError(
        f"TorchServe needs a folder with a short path, not mounted noexec; none of these is one: "
        f"{', '.join(map(str, places))} (TMPDIR and SIDECAR_STATE_DIR name others)"
    )


def _signal_group(leader: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)
