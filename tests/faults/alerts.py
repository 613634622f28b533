"""`scripts/check_alerts`: every fault on a real server, watched by a real Prometheus.

The alerts look back ten seconds instead of minutes, so that those of one fault are over when the
next one is done; on a busy machine longer, since Prometheus then scrapes more seldom.  A fault
shows when one of its alerts fires that did not fire before it.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.report import write_section
from benchmarks.workspace import workspace
from tests.faults.command_line import Chosen, read
from tests.faults.scenario import Scenario
from tests.integration.server import ROOT, Server
from tests.live.crowd import BUSY_FACTOR, Crowd
from tests.live.world import build_world
from tests.prometheus_server import PrometheusServer
from tests.waiting import until_awaited

DOCUMENT = ROOT / "docs" / "reliability.md"
WITHIN_SECONDS = 15.0
WINDOW_SECONDS = 10
CALM_WINDOWS = 6
ALERTS: Mapping[str, frozenset[str]] = {
    "a worker is killed": frozenset({"WorkersDie", "JobsFail"}),
    "a worker and what it was forked from are killed": frozenset({"WorkersDie", "JobsFail"}),
    "TorchServe is killed": frozenset({"TorchServeDown", "TorchServeRestarted"}),
    "TorchServe is frozen": frozenset({"InputsTakeLong", "TorchServeDown"}),
    "a worker is frozen, past the job's limit": frozenset({"JobsFail", "WorkersDie"}),
    "an input crashes the worker": frozenset({"JobsFail", "WorkersDie", "InputsFail"}),
    "an input hangs the worker, past the job's limit": frozenset({"JobsFail", "InputsFail"}),
    "inputs raise in the model": frozenset({"InputsFail"}),
    "inputs run out of memory": frozenset({"InputsFail"}),
    "answers are too large": frozenset({"InputsFail", "JobsFail"}),
    "an archive is cut short": frozenset({"ModelFailed"}),
    "TorchServe answers nonsense": frozenset({"JobsFail"}),
    "the disk is full": frozenset({"DiskFull", "LogLinesLost"}),
    "clients ask and hang up": frozenset({"ClientsLeave"}),
    "clients do not read their answers": frozenset({"ConnectionsJump", "ClientsDoNotRead"}),
    "300 bad requests": frozenset({"RequestsBad"}),
    "10,000 bad requests": frozenset({"RequestsBad"}),
    "the sidecar is killed and started again": frozenset({"SidecarDown", "SidecarRestarted"}),
}
HEAD = "| Fault | Its first alert | After |\n|---|---|---|\n"


class Shown(NamedTuple):
    """The first alert of a fault, and how many seconds after it it fired; None: none did."""

    fault: str
    alert: str | None
    seconds: float


async def main(chosen: Chosen) -> int:
    """Return 0 when every fault that was *chosen* shows in time."""
    pace = BUSY_FACTOR if chosen.busy else 1
    within_seconds, window_seconds = pace * WITHIN_SECONDS, pace * WINDOW_SECONDS
    rows, late = [], 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "world").mkdir()
        (folder / "prometheus").mkdir()
        server = build_world(folder / "world", worker_template="true")
        server.start()
        prometheus = PrometheusServer(folder / "prometheus", window=f"{window_seconds}s")
        try:
            await asyncio.to_thread(server.wait_ready)
            await asyncio.to_thread(server.wait_forking)
            with prometheus.running():
                aiming = asyncio.create_task(aim(prometheus, server))
                server.watch_other = lambda other: scraped(other, prometheus)
                await scraped(server, prometheus)
                for scenario in chosen.scenarios:
                    await calm(prometheus, ALERTS[scenario.name], CALM_WINDOWS * window_seconds)
                    shown = await watch(scenario, server, prometheus, within_seconds)
                    rows.append(row(shown))
                    print(rows[-1], end="", flush=True)
                    late += shown.alert is None or shown.seconds > within_seconds
                aiming.cancel()
        finally:
            server.stop()
    if chosen.fills_table:
        write_section("alerts", HEAD + "".join(rows).rstrip(), DOCUMENT)
    return 1 if late else 0


async def aim(prometheus: PrometheusServer, server: Server) -> None:
    """Scrape *server*, also while it is down, and every other sidecar while a fault runs it."""
    known: list[int] = []
    while True:
        ports = sorted({server.port, *await asyncio.to_thread(sidecar_ports)})
        if ports != known:
            known = ports
            await asyncio.to_thread(prometheus.aim_at, known)
        await asyncio.sleep(0.2)


async def scraped(server: Server, prometheus: PrometheusServer) -> None:
    """Wait until Prometheus has seen *server* as it is now."""
    seen = f'timestamp(up{{instance="127.0.0.1:{server.port}"}} == 1) > {time.time() + 1:.3f}'
    await until_awaited(lambda: asyncio.to_thread(prometheus.query, seen))


def sidecar_ports() -> list[int]:
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            words = child.cmdline()
            if "sidecar" in words and "--port" in words:
                found.append(int(words[words.index("--port") + 1]))
    return found


async def watch(
    scenario: Scenario, server: Server, prometheus: PrometheusServer, within_seconds: float
) -> Shown:
    """Do one fault beside a crowd, and see when the first of its alerts fires."""
    expected = ALERTS[scenario.name]
    crowd = Crowd(server.url)
    try:
        await crowd.well_for(0.5)
        began = time.monotonic()
        fault = asyncio.ensure_future(scenario.act(server))
        shown = await first_of(expected, prometheus, began, fault, within_seconds)
        await fault
        await crowd.well_for(1.5)
    finally:
        await crowd.stop()
    return Shown(scenario.name, *shown)


async def calm(prometheus: PrometheusServer, alerts: frozenset[str], seconds: float) -> None:
    await until_awaited(lambda: asyncio.to_thread(prometheus.firing), alerts.isdisjoint, seconds)


async def first_of(
    alerts: frozenset[str],
    prometheus: PrometheusServer,
    began: float,
    fault: asyncio.Future[list[int]],
    within_seconds: float,
) -> tuple[str | None, float]:
    """Return the first of *alerts* that fires, and the seconds since the fault *began*.

    None is awaited for longer than twice *within_seconds*.
    """
    while True:
        seconds = time.monotonic() - began
        if firing := alerts & await asyncio.to_thread(prometheus.firing):
            return min(firing), seconds
        if fault.done() and seconds > 2 * within_seconds:
            return None, seconds
        await asyncio.sleep(0.2)


def row(shown: Shown) -> str:
    alert = f"[{shown.alert}](#{shown.alert.lower()})" if shown.alert else "none"
    return f"| {shown.fault} | {alert} | {shown.seconds:.0f} s |\n"


if __name__ == "__main__":
    told = read("scripts/check_alerts", "Breaks a real server that Prometheus watches.")
    with workspace():
        sys.exit(asyncio.run(main(told)))
