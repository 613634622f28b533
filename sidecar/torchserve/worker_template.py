"""The process that workers are forked from: started once the models are loaded, and kept running.

It must not delay the first loads, which do without it.  TorchServe's launcher starts a worker by
Python itself whenever this process is not there.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Collection, Mapping
from importlib.util import find_spec
from pathlib import Path

from sidecar.timing import Backoff

log = logging.getLogger(__name__)

PROGRAMS = Path(__file__).with_name("forked_workers")
LAUNCHER = PROGRAMS / "python"
OUTPUT = "worker_template.out"
# What the bundled handlers import of other projects, and takes longest.  Not onnxruntime: its
# import leaves a thread running.
MODULES = (
    "ts.async_service",
    "ts.metrics.metric_cache_yaml_impl",
    "ts.model_loader",
    "ts.protocol.otf_message_handler",
    "msgspec",
    "numpy.random",
    "psutil",
    "safetensors.torch",
    "sentencex",
    "soxr",
    "transformers.generation",
    "transformers.modeling_utils",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.bert.modeling_bert",
    "transformers.models.bert.tokenization_bert",
)
UNFIT = 3  # its exit code where forking from it is not safe
FIRST_PAUSE_SECONDS = 1.0
LAST_PAUSE_SECONDS = 600.0


def can_fork_workers() -> bool:
    """Return whether this system has what forked workers need: they are tied by Linux's means."""
    return sys.platform == "linux" and os.access(LAUNCHER, os.X_OK)


class WorkerTemplate:
    """Keeps the process running, which listens at *address*.

    *environment* returns the variables that TorchServe is started with: what of them libraries read
    when they are imported holds for every worker.  *logs* is the folder for its output, *modules*
    is what it imports.
    """

    def __init__(
        self,
        address: Path,
        environment: Callable[[], Mapping[str, str]],
        logs: Path,
        modules: Collection[str] = MODULES,
    ) -> None:
        self.address = address
        self._environment = environment
        self._modules = modules
        self._output = logs / OUTPUT
        self._process: asyncio.subprocess.Process | None = None

    @property
    def variables(self) -> dict[str, str]:
        """What the launcher reads from its environment."""
        return {"WORKER_TEMPLATE_SOCKET": str(self.address)}

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        process = self._process
        return process.pid if process and process.returncode is None else None

    async def run(self) -> None:
        """Run it, and start it again when it has ended; return if no worker can be forked here."""
        backoff = Backoff(FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS)
        while True:
            try:
                ended = f"has ended with code {(code := await self._run_once())}"
            except OSError as exc:
                ended, code = f"cannot be started: {exc}", None
            if code == UNFIT:
                log.warning("workers are not forked, but started by Python: see %s", self._output)
                return
            pause = backoff.record_failure()
            log.warning("the workers' template %s; starting it again in %g s", ended, pause)
            await asyncio.sleep(pause)

    async def _run_once(self) -> int:
        """Run it until it ends, and return its exit code; end it if this is cancelled."""
        command = [sys.executable, str(PROGRAMS / "template.py"), str(self.address)]
        command += [str(await asyncio.to_thread(_worker_program)), *self._modules]
        output = await asyncio.to_thread(self._output.open, "wb")
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                env=self._environment(),
                stdin=asyncio.subprocess.PIPE,  # closed when this program ends, however it does
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        finally:
            output.close()
        self._process = process
        log.info("importing what workers need, in process %d", process.pid)
        try:
            return await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def _worker_program() -> Path:
    """Return the program that TorchServe runs in its workers."""
    package = find_spec("ts")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).resolve().with_name("model_service_worker.py")  # as Java names it
