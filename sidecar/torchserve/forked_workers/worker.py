"""Runs TorchServe's worker program: `worker.py PROGRAM ARGUMENT…`, with three things changed.

What it reads from Java comes in few system calls, not in one for each number.  The lines that tell
Java of metrics are written after an answer, not before it.  And where the sidecar has said so of a
model, a batch comes as one request (`request_batches`).

The program itself, and with it all that a handler gets to see, stays TorchServe's.
"""

import importlib
import runpy
import sys
from pathlib import Path
from types import ModuleType

CHANGES = ("buffered_reading", "metric_lines", "request_batches")


def import_changes() -> list[ModuleType]:
    """Return the modules that change the program.

    They are imported as a package, so that no name of an archive's own modules is taken.
    """
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    try:
        return [importlib.import_module(f"forked_workers.{name}") for name in CHANGES]
    finally:
        del sys.path[0]


def run(program: str) -> None:
    """Run TorchServe's *program* in this process; its arguments are in `sys.argv`."""
    changes = import_changes()
    sys.path.insert(0, str(Path(program).parent))  # as Python has it
    for change in changes:
        change.install()
    if (module := sys.modules.get("ts.async_service")) is not None:  # imported by the template
        module.retrieve_msg = sys.modules["ts.protocol.otf_message_handler"].retrieve_msg  # type: ignore[attr-defined]
    try:
        runpy.run_path(program, run_name="__main__")
    finally:
        sys.modules["forked_workers.metric_lines"].lines.write_held()


if __name__ == "__main__":
    del sys.path[0], sys.argv[0]  # as if the program had been started by itself
    run(sys.argv[0])
