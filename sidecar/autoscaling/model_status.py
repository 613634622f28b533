"""What is known of one model while the program runs."""

from typing import Literal

import msgspec

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
    error: str | None = None
    waking: bool = False

    @property
    def pids(self) -> list[int]:
        """The processes of the READY workers."""
        return [worker.pid for worker in self.workers]

    @property
    def usable(self) -> bool:
        """Whether a request is answered, at once or after a wake."""
        return self.state in ("ready", "idle") or self.waking
