"""How long `scripts/serve` takes to start when all is built."""

import os
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.effort import Effort
from benchmarks.process_tree import ProcessTree
from benchmarks.progress import tell
from benchmarks.report import Report, table
from benchmarks.servers import ROOT, answers
from tests.integration.server import free_port, wait_for


async def run(effort: Effort) -> Report:
    """Return one table: until it answers at all, and until every model is loaded."""
    starts = []
    for number in range(1, effort.rounds + 1):
        tell(f"    start {number} of {effort.rounds}")
        starts.append(_start())
    alive, ready = (median(each) for each in zip(*starts, strict=True))
    rows = [["answers `/livez`", f"{alive:.1f}"], ["answers `/readyz` with 200", f"{ready:.1f}"]]
    return Report(table(["`scripts/serve`", "s"], rows))


def _start() -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        log = folder / "output.log"
        began = time.monotonic()
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(ROOT / "scripts" / "serve"), "--port", str(port)],
                env=os.environ | {"SIDECAR_STATE_DIR": str(folder / "var")},
                stdout=output,
                stderr=output,
            )
        try:
            wait_for(lambda: answers(f"http://127.0.0.1:{port}/livez"), log)
            alive = time.monotonic() - began
            wait_for(lambda: answers(f"http://127.0.0.1:{port}/readyz"), log)
            return alive, time.monotonic() - began
        finally:
            ProcessTree(process.pid).end()
            process.wait()
