"""`python -m benchmarks.soak`: mixed load for minutes; memory and open files must stay flat.

Numbers, texts, speech, recordings, bad requests and clients that leave, all at once.  The first
third is the warm-up: caches and allocators fill.  It fails when a good request is not answered,
or when a process grows by more than GROWTH from the second third to the last.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import aiohttp
import psutil

from benchmarks.machine import description
from benchmarks.report import write_section
from benchmarks.speech_server import serving
from benchmarks.texts import mixed_texts
from benchmarks.workspace import workspace
from sidecar.speech.output_formats import FORMATS
from tests.faults.bad_requests import bad_requests
from tests.integration.server import ROOT, Server, wait_for
from tests.integration.speech_client import speak
from tests.sentences import SENTENCES

GROWTH = 1.05
SLACK_MIB = 8.0
SLACK_FILES = 4.0
LOOK_SECONDS = 2.0
MIB = 2**20
DOCUMENT = ROOT / "docs" / "reliability.md"

Ask = Callable[[aiohttp.ClientSession, random.Random], Awaitable[int]]


class Sample(NamedTuple):
    """One look at one process."""

    at: float
    mib: float
    files: int


class Growth(NamedTuple):
    """A process's means in the second and in the last third of the run."""

    name: str
    mib: tuple[float, float]
    files: tuple[float, float]

    @property
    def flat(self) -> bool:
        """Whether it grew no more than it may."""
        return (
            self.mib[1] <= self.mib[0] * GROWTH + SLACK_MIB
            and self.files[1] <= self.files[0] + SLACK_FILES
        )


async def _numbers(http: aiohttp.ClientSession, chance: random.Random) -> int:
    return await _predict(http, "example", [chance.random() for _ in range(5)])


async def _texts(http: aiohttp.ClientSession, chance: random.Random) -> int:
    return await _predict(http, "sentence_transformer", mixed_texts(4, chance.randrange(10**6)))


async def _predict(http: aiohttp.ClientSession, model: str, inputs: object) -> int:
    body = {"model_name": model, "inputs": inputs, "timeout": 60}
    async with http.post("/predict", json=body) as response:
        await response.read()
        return response.status


async def _speech(http: aiohttp.ClientSession, chance: random.Random) -> int:
    kind = chance.choice(list(FORMATS))
    body = {"text": chance.choice(SENTENCES), "output_format": kind, "timeout": 120}
    body["enable_streaming"] = chance.random() < 0.5
    async with http.post("/synthesize", json=body, headers={"Accept": "audio/*"}) as response:
        await response.read()
        return response.status


async def _leaving(http: aiohttp.ClientSession, chance: random.Random) -> int:
    try:
        async with asyncio.timeout(chance.uniform(0.01, 0.5)):
            return await _speech(http, chance)
    except TimeoutError:
        return 200  # it left: nobody was refused


class Soak:
    """The clients, and what became of what they asked."""

    def __init__(self, http: aiohttp.ClientSession, url: str, recording: bytes) -> None:
        self._http = http
        self._url = url
        self._recording = recording
        self._stop = asyncio.Event()
        self.answers: defaultdict[str, Counter[int]] = defaultdict(Counter)

    async def run(self, seconds: float) -> None:
        """Asks for *seconds*."""
        clients = [
            *(self._client("numbers", _numbers, number) for number in range(4)),
            *(self._client("texts", _texts, number) for number in range(2)),
            self._client("speech", _speech, 0),
            self._client("clients that leave", _leaving, 0),
            self._client("recordings", self._transcribe, 0),
            self._bad(),
        ]
        tasks = [asyncio.create_task(client) for client in clients]
        await asyncio.sleep(seconds)
        self._stop.set()
        await asyncio.gather(*tasks)

    async def _client(self, name: str, ask: Ask, seed: int) -> None:
        chance = random.Random(f"{name} {seed}")
        while not self._stop.is_set():
            self.answers[name][await ask(self._http, chance)] += 1
            await asyncio.sleep(0.05)

    async def _transcribe(self, http: aiohttp.ClientSession, _: random.Random) -> int:
        form = aiohttp.FormData()
        form.add_field("file", self._recording, filename="a.wav", content_type="audio/wav")
        async with http.post("/transcribe", data=form) as response:
            await response.read()
            return response.status

    async def _bad(self) -> None:
        seed = 0
        while not self._stop.is_set():
            seed += 1
            for status in await bad_requests(self._url, 20, seed):
                self.answers["bad requests"][status] += 1
            await asyncio.sleep(1)


class Watch:
    """Memory and open files of the server's processes, while it runs."""

    def __init__(self, server: Server) -> None:
        assert server.process is not None
        self._processes = {"sidecar": psutil.Process(server.process.pid)}
        self._processes["TorchServe (Java)"] = server.java()
        self._processes["workers' template"] = server.wait_forking()
        for worker in server.workers():
            self._processes[_model_of(worker)] = worker
        self.samples: defaultdict[str, list[Sample]] = defaultdict(list)

    async def run(self) -> None:
        """Looks until it is cancelled."""
        while True:
            await asyncio.to_thread(self._look)
            await asyncio.sleep(LOOK_SECONDS)

    def _look(self) -> None:
        for name, process in self._processes.items():
            mib = process.memory_info().rss / MIB
            self.samples[name].append(Sample(time.monotonic(), mib, process.num_fds()))

    def growth(self) -> list[Growth]:
        """From the second third to the last."""
        return [_growth(name, samples) for name, samples in self.samples.items()]


def _growth(name: str, samples: list[Sample]) -> Growth:
    third = len(samples) // 3
    second, last = samples[third : 2 * third], samples[2 * third :]
    return Growth(
        name,
        (mean(each.mib for each in second), mean(each.mib for each in last)),
        (mean(each.files for each in second), mean(each.files for each in last)),
    )


def _model_of(worker: psutil.Process) -> str:
    """Return the name of the model that *worker* holds: it runs in its unpacked archive."""
    manifest = json.loads((Path(worker.cwd()) / "MAR-INF" / "MANIFEST.json").read_text())
    return str(manifest["model"]["modelName"])


def _fork_workers(server: Server) -> None:
    """Kill the workers, which Python started, and wait until others are forked in their place."""
    server.wait_forking()
    killed = server.workers()
    for worker in killed:
        worker.kill()

    def forked() -> bool:
        workers = server.workers()
        new = len(workers) == len(killed) and not set(workers) & set(killed)
        return new and all(each.name() == "forked-worker" for each in workers)

    wait_for(forked, server.log)
    wait_for(lambda: server.status("/readyz") == 200, server.log)


async def main(seconds: float) -> int:
    """Return 0 when all was answered and nothing grew."""
    machine = description()
    async with serving(worker_template="true") as (server, http):
        await asyncio.to_thread(_fork_workers, server)
        recording = (await speak(http, " ".join(SENTENCES[:3]))).data
        soak, watch = Soak(http, server.url, recording), Watch(server)
        watching = asyncio.create_task(watch.run())
        await soak.run(seconds)
        watching.cancel()
    good = {name: count for name, count in soak.answers.items() if name != "bad requests"}
    refused = {name: dict(count) for name, count in good.items() if set(count) != {200}}
    report = _report(seconds, soak.answers, watch.growth(), machine)
    print(report)
    write_section("soak", report, DOCUMENT)
    grown = [each.name for each in watch.growth() if not each.flat]
    for problem in (f"refused: {refused}" if refused else "", f"grew: {grown}" if grown else ""):
        if problem:
            print(problem, file=sys.stderr)
    return 1 if refused or grown else 0


def _report(
    seconds: float, answers: dict[str, Counter[int]], growth: list[Growth], machine: str
) -> str:
    lines = [f"{seconds:g} seconds on {machine}.", "", "| Clients | Answers |", "|---|---|"]
    for name, count in answers.items():
        told = ", ".join(f"{number:,} × {status}" for status, number in sorted(count.items()))
        lines.append(f"| {name} | {told} |")
    lines += ["", "| Process | MiB, second third | last third | open files | last third |"]
    lines.append("|---|---|---|---|---|")
    lines += [
        f"| {each.name} | {each.mib[0]:.0f} | {each.mib[1]:.0f} "
        f"| {each.files[0]:.0f} | {each.files[1]:.0f} |"
        for each in growth
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="scripts/soak", description="Mixed load for minutes.")
    parser.add_argument("--seconds", type=float, default=600.0, help="how long (default 600)")
    seconds_asked = parser.parse_args().seconds
    with workspace():
        sys.exit(asyncio.run(main(seconds_asked)))
