"""`python -m benchmarks.wake`: how long a model takes to wake, beside a bare process that loads it.

A wake is the first request after the model was put to sleep, from sending it to its answer.  The
bare time is a fresh interpreter that imports and loads the same archive, without TorchServe; as at
a wake, what can be tried out was tried before.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import aiohttp

from benchmarks.machine import description
from benchmarks.speech_server import serving
from sidecar.catalog.model_store import archive_path
from tests.integration.server import ROOT, SECRET
from tests.integration.tokens import bearer

INPUTS: dict[str, Any] = {
    "example": [1, 2, 3],
    "sentence_transformer": "a text",
    "hibari_tts": "Hello.",
}


class Wake(NamedTuple):
    """Seconds: of the first request, and of the bare process and its steps."""

    model: str
    wake: float
    bare: float
    steps: dict[str, float]


async def main(rounds: int) -> None:
    """Prints a table."""
    print(description(), end="\n\n")
    rows = []
    async with serving() as (_, http):
        for model, inputs in INPUTS.items():
            wakes = [await _wake(http, model, inputs) for _ in range(rounds)]
            bare = await asyncio.to_thread(_bare, model, rounds)
            seconds, steps = sorted(bare, key=lambda each: each[0])[len(bare) // 2]
            rows.append(Wake(model, median(wakes), seconds, steps))
    _print(rows)


async def _wake(http: aiohttp.ClientSession, model: str, inputs: Any) -> float:
    headers = bearer("admin", SECRET)
    path = f"/models/{model}/scale"
    async with http.post(path, json={"workers": 0}, headers=headers) as response:
        assert response.status == 200, await response.text()
    began = time.perf_counter()
    body = {"model_name": model, "inputs": inputs, "timeout": 120}
    async with http.post("/predict", json=body) as response:
        assert response.status == 200, await response.text()
    return time.perf_counter() - began


def _bare(model: str, rounds: int) -> list[tuple[float, dict[str, float]]]:
    """Seconds of *rounds* processes and of their steps; one before them tries out what it can."""
    program = Path(__file__).with_name("bare_load.py")
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(archive_path(ROOT / "model_store", model)) as archive:
            archive.extractall(folder)
        for _ in range(rounds + 1):
            began = time.perf_counter()
            done = subprocess.run(
                [sys.executable, str(program), folder], capture_output=True, text=True, check=True
            )
            steps: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
            runs.append((time.perf_counter() - began, steps))
    return runs[1:]


def _print(rows: list[Wake]) -> None:
    print("| Model | wake | bare process | of which torch | handler | model | wake / bare |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        steps = " | ".join(f"{row.steps[name]:.1f} s" for name in ("torch", "handler", "load"))
        ratio = row.wake / row.bare
        print(f"| {row.model} | {row.wake:.1f} s | {row.bare:.1f} s | {steps} | {ratio:.2f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="scripts/bench_wake", description="Times of wakes.")
    parser.add_argument("--rounds", type=int, default=3, help="of each (default 3)")
    asyncio.run(main(parser.parse_args().rounds))
