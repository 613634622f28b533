"""One attack: what is sent, what it may do, and what it did."""

import asyncio
import operator
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import aiohttp

from tests.attacks import probe
from tests.attacks.stand_in import StandIn
from tests.integration.server import ROOT, SECRET, Server
from tests.integration.tokens import bearer
from tests.live.crowd import BUSY_FACTOR, CUT_OFF, Crowd, counts, recovery_seconds
from tests.waiting import until

Act = Callable[[Server], Awaitable[list[int]]]
MIB = 2**20
CLIENTS = 3  # that ask beside the attack: few, so that they are not the load themselves
QUIET_SECONDS = 1.0
WELL_SECONDS = 0.6  # longer than a gap that counts as a pause
LIVEZ_MS = 100.0
BUSY_TRIES = 3
STALL_FACTOR = 5  # by which one look may be slower
OK = frozenset({200})
REFUSED = frozenset({400, 401, 403, 404, 405, 408, 411, 413, 414, 415, 417, 422, 429, 431, 503})
FAILURES = (AssertionError, TimeoutError, subprocess.TimeoutExpired, aiohttp.ClientError)
NO_ANSWER = frozenset({CUT_OFF})

Measure = Callable[[probe.Look], float]  # the seconds of a look that count
BY_THE_CLOCK: Measure = operator.attrgetter("seconds")  # what clients see; on a quiet machine alone
ITS_OWN_DOING: Measure = operator.attrgetter("own_seconds")  # on a machine that others share


class Attack(NamedTuple):
    """*act* attacks, and returns the statuses that the attackers themselves got.

    *attackers_see* are all that they may get.  *others_see* are what other clients may get besides
    200.  *peak_mib* bounds how far the sidecar's memory grows; *livez_ms* bounds the 99th
    percentile of /livez beside the attack, None where the attack itself stops the server.
    *settings*, if not None: it runs against a sidecar of its own with these, in front of a
    TorchServe that is a stand-in.  Those that are not *quick* run in scripts/attack alone.
    """

    name: str
    act: Act
    attackers_see: frozenset[int] = REFUSED
    others_see: frozenset[int] = frozenset()
    peak_mib: float = 64.0
    livez_ms: float | None = LIVEZ_MS
    within_seconds: float = 15.0
    settings: Mapping[str, str] | None = None
    quick: bool = True


OWN: Mapping[str, str] = MappingProxyType({})  # a sidecar of its own, with the default settings


class Report(NamedTuple):
    """What an attack did.  *quiet_ms* and *livez_ms* are 99th percentiles before and beside it.

    They, and *livez_longest_ms*, are what `run` was told to measure.
    *seconds*: from its end until the other clients were well again, 0 if nobody noticed.
    """

    name: str
    attackers: Counter[int]
    others: Counter[int]
    wrong: int
    quiet_ms: float
    livez_ms: float
    livez_longest_ms: float
    livez_failed: int
    peak_mib: float
    seconds: float
    problem: str = ""  # what the attack itself found wrong


async def run(
    attack: Attack,
    shared: Server | None,
    *,
    measure: Measure,
    quiet_seconds: float = QUIET_SECONDS,
) -> Report:
    """Let clients ask, attack, and wait until all is well again; *measure* the looks at /livez."""
    if attack.settings is None:
        assert shared is not None
        return await _measured(attack, shared, measure, quiet_seconds)
    with tempfile.TemporaryDirectory(prefix="attack-") as folder:
        async with StandIn(Path(folder), **attack.settings) as server:
            return await _measured(attack, server, measure, quiet_seconds)


async def run_on_busy_machine(
    attack: Attack, shared: Server | None, *, quiet_seconds: float = QUIET_SECONDS
) -> tuple[Report, list[str]]:
    """Do the same on a machine that others share; return what came of it, and the problems.

    The others' share of the processors does not count.  A disk or a neighbour can be slow once: a
    true stall comes again.
    """
    patient = attack._replace(within_seconds=BUSY_FACTOR * attack.within_seconds)
    for _ in range(BUSY_TRIES):
        report = await run(patient, shared, measure=ITS_OWN_DOING, quiet_seconds=quiet_seconds)
        if not (found := problems(patient, report)):
            break
    return report, found


async def _measured(
    attack: Attack, server: Server, measure: Measure, quiet_seconds: float
) -> Report:
    assert server.process is not None
    async with probed(server.port, server.process.pid) as file:
        crowd = Crowd(server.url, CLIENTS, _credentials(attack))
        try:
            began = time.monotonic()
            await crowd.well_for(quiet_seconds)
            attack_at = time.monotonic()
            attackers, problem = await _attacked(attack, server)
            ended_at = time.monotonic()
            well = await _well_again(attack, crowd)
        finally:
            await crowd.stop()
        readings = await asyncio.to_thread(probe.read, file)
    stopped_at = time.monotonic()
    after = [each for each in crowd.answers if each.at >= attack_at]
    quiet = [each for each in readings.looks if began < each.began < attack_at - each.seconds]
    beside = [each for each in readings.looks if each.began + each.seconds >= attack_at]
    beside = [each for each in beside if each.began <= max(ended_at, attack_at + WELL_SECONDS)]
    return Report(
        attack.name,
        Counter(attackers),
        counts(after),
        sum(not each.right for each in after if each.status != CUT_OFF),
        percentile_ms(map(measure, quiet), 0.99),
        percentile_ms(map(measure, beside), 0.99),
        percentile_ms(map(measure, beside), 1.0),
        sum(not each.well for each in beside),
        _growth_mib(readings.memory, attack_at),
        max(0.0, attack_at + recovery_seconds(after, attack_at) - ended_at)
        if well
        else stopped_at - ended_at,
        problem,
    )


def _credentials(attack: Attack) -> Mapping[str, str]:
    """What the other clients have to send."""
    needed = attack.settings is not None and "require_authentication" in attack.settings
    return bearer("stats", SECRET) if needed else {}


async def _attacked(attack: Attack, server: Server) -> tuple[list[int], str]:
    """The statuses, and what the attack found that must not be."""
    try:
        return await attack.act(server), ""
    except FAILURES as exc:
        return [], f"{type(exc).__name__}: {exc}".replace("\n", " ")


async def _well_again(attack: Attack, crowd: Crowd) -> bool:
    try:
        await crowd.well_for(WELL_SECONDS, limit=attack.within_seconds + WELL_SECONDS)
    except TimeoutError:
        return False
    return True


@asynccontextmanager
async def probed(port: int, pid: int) -> AsyncIterator[Path]:
    """The file in which a process of its own writes how the server *pid* on *port* does.

    It has begun to: what was there before an attack is known.
    """
    with tempfile.TemporaryDirectory(prefix="probe-") as folder:
        file = Path(folder) / "readings"
        places = (str(port), str(pid), str(file))
        command = [sys.executable, "-m", "tests.attacks.probe", *places]
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
        try:
            await until(lambda: file.exists() and all(probe.read(file)))
            yield file
        finally:
            process.terminate()
            await process.wait()


def percentile_ms(looks: Iterable[float], share: float) -> float:
    """How long somebody who asks at any moment waits in *share* of the cases at most.

    A look that waits keeps the probe from looking again.  The looks that it would have made
    meanwhile, each of which would have waited less, are counted too: otherwise a server that
    stands still for seconds would look well but for one look.  *looks* are in seconds.
    """
    ordered = sorted(
        seconds - missed * probe.PAUSE_SECONDS
        for seconds in looks
        for missed in range(1 + int(seconds / probe.PAUSE_SECONDS))
    )
    return 1000 * ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0


def _growth_mib(memory: list[probe.Memory], since: float) -> float:
    before = [each.bytes for each in memory if each.at < since]
    after = [each.bytes for each in memory if each.at >= since]
    return max(0.0, (max(after, default=0) - before[-1]) / MIB) if before else 0.0


def problems(attack: Attack, report: Report) -> list[str]:
    """What the attack did that it must not."""
    limit = attack.livez_ms
    found = [report.problem] if report.problem else []
    if strange := set(report.attackers) - attack.attackers_see:
        found.append(f"the attackers got {_told(report.attackers, strange)}")
    if strange := set(report.others) - OK - attack.others_see:
        found.append(f"other clients got {_told(report.others, strange)}")
    if report.wrong:
        found.append(f"other clients got {report.wrong} wrong answers")
    if limit is not None and report.livez_ms > limit:
        found.append(f"/livez took {report.livez_ms:.0f} ms (99th percentile; limit {limit:.0f})")
    if limit is not None and report.livez_longest_ms > STALL_FACTOR * limit:
        found.append(f"/livez took {report.livez_longest_ms:.0f} ms once")
    if attack.livez_ms is not None and report.livez_failed:
        found.append(f"/livez failed {report.livez_failed} times")
    if report.peak_mib > attack.peak_mib:
        found.append(f"memory grew by {report.peak_mib:.0f} MiB (limit {attack.peak_mib:.0f})")
    if report.seconds > attack.within_seconds:
        found.append(f"others were not well again within {attack.within_seconds:g} s")
    return found


def _told(answers: Counter[int], statuses: set[int]) -> str:
    return ", ".join(f"{answers[each]} × {each or 'cut off'}" for each in sorted(statuses))
