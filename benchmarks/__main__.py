"""`python -m benchmarks`: the sidecar beside TorchServe called directly, interleaved.

Every round asks each candidate once, so that a slow minute of the machine hits all alike;
the table tells medians over the rounds, and the ratio to TorchServe's best at that load.
"""

import argparse
import os
import platform
import shutil
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import psutil

from benchmarks.load import Load, run_load, texts
from benchmarks.servers import Direct, Servers, running
from sidecar.torchserve.key_file import KeyFile

SETTINGS = {
    "example": [Direct("example", 1, 1), Direct("example", 64, 1), Direct("example", 128, 5)],
    "sentence_transformer": [
        Direct("sentence_transformer", 1, 1),
        Direct("sentence_transformer", 16, 5),
        Direct("sentence_transformer", 32, 10),
    ],
}
SIDECAR = "sidecar"


class Outcome(NamedTuple):
    """One candidate under one load: the rounds' loads, and the sidecar's CPU time."""

    loads: list[Load]
    cpu_us: list[float]


def main(arguments: Sequence[str]) -> int:
    """Prints the tables.  Returns 2 when wrk is missing."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--models", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--connections", nargs="+", type=int, default=[1, 16, 64, 256])
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    if shutil.which("wrk") is None:
        print("bench: needs wrk (your system's package of that name)", file=sys.stderr)
        return 2
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors\n")
    for model in options.models:
        with running(*SETTINGS[model]) as servers:
            for connections in options.connections:
                outcomes = _measure(servers, model, connections, options)
                _print(model, connections, outcomes)
    return 0


def _measure(
    servers: Servers, model: str, connections: int, options: argparse.Namespace
) -> dict[str, Outcome]:
    bodies = ["[1, 2, 3, 4, 5]"] if model == "example" else _json_texts()
    outcomes: dict[str, Outcome] = defaultdict(lambda: Outcome([], []))
    for round_number in range(options.rounds + 1):
        for name, load, cpu_us in _round(servers, model, connections, bodies, options.seconds):
            if round_number:  # the first one warms up
                outcomes[name].loads.append(load)
                outcomes[name].cpu_us.append(cpu_us)
    return outcomes


def _json_texts() -> list[str]:
    return [msgspec.json.encode(text).decode() for text in texts(200)]


def _round(
    servers: Servers, model: str, connections: int, bodies: list[str], seconds: float
) -> list[tuple[str, Load, float]]:
    sidecar = psutil.Process(servers.sidecar_pid)
    results = []
    for direct in SETTINGS[model]:
        url = f"{servers.torchserve}/predictions/{direct.name}"
        load = run_load(url, bodies, _token(servers.keys), connections=connections, seconds=seconds)
        results.append((f"TorchServe {direct.batch_size}/{direct.delay_ms} ms", load, 0.0))
    requests = [f'{{"model_name": "{model}", "inputs": {body}}}' for body in bodies]
    before = sidecar.cpu_times()
    load = run_load(
        f"{servers.sidecar}/predict", requests, {}, connections=connections, seconds=seconds
    )
    after = sidecar.cpu_times()
    spent = after.user + after.system - before.user - before.system
    results.append((SIDECAR, load, spent / max(load.requests, 1) * 1e6))
    return results


def _token(keys: KeyFile) -> dict[str, str]:
    return keys.headers("inference")


def _print(model: str, connections: int, outcomes: dict[str, Outcome]) -> None:
    rates = {
        name: statistics.median(load.per_second for load in outcome.loads)
        for name, outcome in outcomes.items()
    }
    best = max(rate for name, rate in rates.items() if name != SIDECAR)
    print(f"{model}, {connections} connections")
    print(f"  {'':24} {'req/s':>8} {'of best':>8} {'p50 ms':>8} {'p99 ms':>8} {'failed':>7}")
    for name, outcome in outcomes.items():
        p50, p99 = (
            statistics.median(getattr(load, field) for load in outcome.loads)
            for field in ("p50_ms", "p99_ms")
        )
        failed = sum(load.failed for load in outcome.loads)
        row = f"  {name:24} {rates[name]:8.0f} {rates[name] / best:8.2f} {p50:8.1f} {p99:8.1f}"
        cpu = f"  {statistics.median(outcome.cpu_us):.0f} µs CPU each" if name == SIDECAR else ""
        print(f"{row} {failed:7d}{cpu}", flush=True)
    print(flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
