"""What the server takes while nobody asks: processor time and memory, the sidecar's alone too."""

import asyncio

import psutil

from benchmarks.effort import Effort
from benchmarks.process_tree import MIB, own_cpu_seconds
from benchmarks.progress import tell
from benchmarks.report import Report, table
from benchmarks.servers import ours

MODELS = ("example", "sentence_transformer", "hibari_tts", "silero_vad", "whisper_tiny_en")
SECONDS_PER_ROUND = 20.0


async def run(effort: Effort) -> Report:
    """Return one table."""
    tell(f"    starting {len(MODELS)} models")
    with ours(*MODELS, zero_scaling="true") as server:
        sidecar = psutil.Process(server.pid)
        await asyncio.sleep(SECONDS_PER_ROUND)  # what starts behind readiness is over
        seconds = SECONDS_PER_ROUND * effort.rounds
        tell(f"    looking for {seconds:g} seconds")
        before = own_cpu_seconds(sidecar), server.processes.cpu_seconds()
        await asyncio.sleep(seconds)
        alone = own_cpu_seconds(sidecar) - before[0]
        everything = server.processes.cpu_seconds() - before[1]
        rows = [
            ["the sidecar", f"{alone / seconds:.2%}", f"{sidecar.memory_info().rss / MIB:.0f}"],
            [
                "with TorchServe and its workers",
                f"{everything / seconds:.2%}",
                f"{server.processes.resident_mib():.0f}",
            ],
        ]
    head = ["", "of a core", "resident MiB"]
    return Report(f"{len(MODELS)} models, {seconds:g} s:\n\n{table(head, rows)}")
