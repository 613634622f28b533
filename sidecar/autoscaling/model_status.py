"""What is known of one model while the program runs."""

from typing import Literal

import msgspec

from sidecar.scheduling.job import WorkerMemory
from sidecar.torchserve.client import WorkerState

State = Literal[
    "available", "downloading", "archived", "loading", "ready", "idle", "failed", "disabled"
]


class Runtime(msgspec.Struct):
    """What a model's handler says of itself once it is loaded."""

    device: str
    precision: str
    compile: bool = False
    tensorrt: bool = False
    worker: int = 0  # the process that said it
    memory: WorkerMemory | None = None  # which it held


class ModelStatus(msgspec.Struct):
    """One model's state.

    *available*: in the catalog, no archive; *downloading*: that is on its way; *archived*: in
    the model store, not loaded; *idle*: at zero workers, a request wakes it.  *waking*: it is
    loading because one did.
    """

    state: State
    version: str | None = None
    workers: list[WorkerState] = []  # those that are READY
    runtime: Runtime | None = None
    memory: dict[int, WorkerMemory] = {}  # of those workers that told it, by process id
    error: str | None = None
    waking: bool = False

    @property
    def pids(self) -> list[int]:
        """The processes of the READY workers."""
        return [worker.pid for worker in self.workers]

    def memory_mb(self, worker: WorkerState) -> float | None:
        """Return what *worker* holds, in 2^20 bytes: as it says itself, else as TorchServe does.

        None: nobody has measured it yet.
        """
        told = self.memory.get(worker.pid)
        held = worker.memory_usage if told is None else told.rss_bytes
        return held / 2**20 or None

    @property
    def usable(self) -> bool:
        """Whether a request is answered, at once or after a wake."""
        return self.state in ("ready", "idle") or self.waking
