"""`python -m benchmarks.scaling_soak`: bursts over five models that sleep and wake all the time.

Each model sleeps after a second; its client asks in bursts with pauses of one to four seconds.
It fails when an answer is lost, wrong, or no answer but an error.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.machine import description
from benchmarks.report import write_section
from benchmarks.soak import DOCUMENT
from benchmarks.workspace import workspace
from tests.live.world import FAULTY, build_world

NAMES = [f"model_{number}" for number in range(5)]
MODELS: dict[str, dict[str, Any]] = {
    name: FAULTY | {"auto_load": False, "idle_seconds": 1.0} for name in NAMES
}
BURST = 10


async def main(seconds: float) -> int:
    """Return 0 when every answer was the right one."""
    machine, answers = description(), Counter[str]()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        server = await asyncio.to_thread(build_world, Path(folder), MODELS, worker_template="true")
        server.start()
        try:
            await asyncio.to_thread(server.wait_ready)
            await asyncio.to_thread(server.wait_forking)
            async with aiohttp.ClientSession(server.url) as http:
                until = time.monotonic() + seconds
                await asyncio.gather(*(_client(http, name, until, answers) for name in NAMES))
                async with http.get("/autoscaler/stats") as response:
                    metrics = (await response.json())["scaling_metrics"]
        finally:
            await asyncio.to_thread(server.stop)
    told = ", ".join(f"{count:,} × {what}" for what, count in answers.items())
    report = (
        f"{seconds:g} seconds on {machine}.\n\nAnswers: {told}. Models were put to sleep "
        f"{metrics['zero_scale_events']} times and woken {metrics['wake_events']} times, in "
        f"{metrics['cold_start_time_seconds']:.1f} s on average; loads that failed: "
        f"{metrics['load_failures']}."
    )
    print(report)
    write_section("scaling", report, DOCUMENT)
    return 0 if set(answers) == {"200"} else 1


async def _client(
    http: aiohttp.ClientSession, name: str, until: float, answers: Counter[str]
) -> None:
    chance = random.Random(name)
    while time.monotonic() < until:
        answers.update(
            await asyncio.gather(*(_ask(http, name, chance.randrange(1000)) for _ in range(BURST)))
        )
        await asyncio.sleep(chance.uniform(1.0, 4.0))


async def _ask(http: aiohttp.ClientSession, name: str, number: int) -> str:
    body = {"model_name": name, "inputs": [0, number, 2, 3], "timeout": 120}
    try:
        async with http.post("/predict", json=body) as response:
            answer = await response.json()
    except aiohttp.ClientError:
        return "lost"
    right = response.status != 200 or answer["result"] == number + 5
    return str(response.status) if right else "wrong"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="scripts/soak", description="Models asleep and awake.")
    parser.add_argument("--seconds", type=float, default=300.0, help="how long (default 300)")
    seconds_asked = parser.parse_args().seconds
    with workspace():
        sys.exit(asyncio.run(main(seconds_asked)))
