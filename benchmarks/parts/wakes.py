"""How long a model takes to wake, beside a bare process that loads it.

A wake is the first request after the model was put to sleep, from sending it to its answer.  The
bare time is a fresh interpreter that imports and loads the same archive, without TorchServe; as at
a wake, what can be tried out was tried before.
"""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp

from benchmarks.effort import Effort
from benchmarks.progress import tell
from benchmarks.report import Report, table
from benchmarks.servers import Running, ours, unpacked
from tests.integration.server import SECRET
from tests.integration.tokens import bearer

INPUTS: dict[str, Any] = {
    "example": [1, 2, 3],
    "sentence_transformer": "a text",
    "hibari_tts": "Hello.",
}
BARE = Path(__file__).parents[1] / "bare_load.py"
HEAD = ("Model", "wake", "bare process", "of which torch", "handler", "model", "wake / bare")


async def run(effort: Effort) -> Report:
    """Return one table; wakes and bare loads take turns.  Raises ValueError for a bad answer."""
    rows = []
    with ours(*INPUTS, zero_scaling="true") as server:
        async with aiohttp.ClientSession(server.url) as http:
            for model, inputs in INPUTS.items():
                wakes, bare = [], []
                with unpacked(model) as folder:
                    for number in range(effort.rounds + 1):
                        tell(f"    {model}: " + (f"wake {number}" if number else "warm-up"))
                        wake = await _wake(http, model, inputs)
                        loaded = await asyncio.to_thread(_bare, server, folder)
                        if number:  # the first one tries out what it can
                            wakes.append(wake)
                            bare.append(loaded)
                rows.append(_row(model, wakes, bare))
    return Report(table(HEAD, rows))


async def _wake(http: aiohttp.ClientSession, model: str, inputs: Any) -> float:
    headers = bearer("admin", SECRET)
    path = f"/models/{model}/scale"
    async with http.post(path, json={"workers": 0}, headers=headers) as response:
        response.raise_for_status()
    began = time.perf_counter()
    body = {"model_name": model, "inputs": inputs, "timeout": 120}
    async with http.post("/predict", json=body) as response:
        response.raise_for_status()
        answer = await response.json()
    taken = time.perf_counter() - began
    if not answer["success"] or answer["result"] in (None, [], ""):
        raise ValueError(f"{model}: answered {answer}")
    return taken


def _bare(server: Running, folder: Path) -> tuple[float, dict[str, float]]:
    """Return the seconds of a process and of its steps; the server stands still meanwhile."""
    with server.processes.standing_still():
        began = time.perf_counter()
        command = [sys.executable, str(BARE), str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds = time.perf_counter() - began
    steps: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return seconds, steps


def _row(model: str, wakes: list[float], bare: list[tuple[float, dict[str, float]]]) -> list[str]:
    seconds, steps = sorted(bare, key=lambda each: each[0])[len(bare) // 2]
    ratio = median(wake / each[0] for wake, each in zip(wakes, bare, strict=True))
    parts = [f"{steps[name]:.1f} s" for name in ("torch", "handler", "load")]
    return [model, f"{median(wakes):.1f} s", f"{seconds:.1f} s", *parts, f"{ratio:.2f}"]
