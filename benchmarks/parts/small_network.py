"""The example network, which costs nothing: what is measured is the way to it.

Ours, TorchServe called directly in several settings, and other servers, at several numbers of
connections.
"""

import asyncio
import contextlib
import json
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence

from benchmarks.effort import Effort
from benchmarks.http_load import run_load
from benchmarks.peers.example_network import load_network
from benchmarks.peers.example_servers import (
    EXAMPLE,
    EXAMPLE_SERVERS,
    NUMBER,
    ROW,
    example_server,
)
from benchmarks.report import Plot, Report, comparison
from benchmarks.servers import Direct, Running, ours, torchserve, unpacked
from benchmarks.turns import OURS, Answers, Candidate, Outcome, best, ratio, take_turns

CONNECTIONS = (1, 16, 64, 256)
SETTINGS = (Direct(1, 1), Direct(64, 1), Direct(128, 5))
OUR_BODY = json.dumps({"model_name": EXAMPLE, "inputs": ROW})
OUR_PATTERN = rf'"result":%[*{NUMBER}'


async def run(effort: Effort) -> Report:
    """Return a table for each number of connections, and a plot of all."""
    if shutil.which("wrk") is None:
        raise FileNotFoundError("this part needs wrk (your system's package of that name)")
    expected = expected_answer()
    with contextlib.ExitStack() as stack:
        asked = _start(stack, effort)
        outcomes = {
            connections: await take_turns(
                [
                    Candidate(name, _work(each, expected, connections, effort), each[0].processes)
                    for name, each in asked.items()
                ],
                effort.rounds,
            )
            for connections in CONNECTIONS
        }
    texts = []
    for count, found in outcomes.items():
        title = f"**{count} connection{'s' if count > 1 else ''}**"
        texts += [title, comparison(found), _beside_best(found)]
    return Report("\n\n".join(texts), [_plot(outcomes)])


def expected_answer() -> float:
    """Return what the network makes of ROW."""
    with unpacked(EXAMPLE) as folder:
        (answer,) = load_network(str(folder))([[float(each) for each in ROW]])
    return answer


Asked = tuple[Running, str, str]  # a server, the body that it is sent, and the answer's pattern


def _start(stack: contextlib.ExitStack, effort: Effort) -> dict[str, Asked]:
    server = stack.enter_context(ours(EXAMPLE))
    predict = server._replace(url=f"{server.url}/predict")
    asked: dict[str, Asked] = {OURS: (predict, OUR_BODY, OUR_PATTERN)}
    for direct in SETTINGS:
        running = stack.enter_context(torchserve(EXAMPLE, direct))
        asked[direct.name] = (running, json.dumps(ROW), NUMBER)
    for peer in EXAMPLE_SERVERS:
        running = stack.enter_context(example_server(peer, effort.environments))
        asked[peer.name] = (running, peer.body, peer.pattern)
    return asked


def _work(
    asked: Asked, expected: float, connections: int, effort: Effort
) -> Callable[[], Awaitable[Answers]]:
    server, body, pattern = asked

    async def work() -> Answers:
        return await asyncio.to_thread(
            run_load,
            server.url,
            body,
            pattern,
            expected,
            connections=connections,
            seconds=effort.seconds,
        )

    return work


def _beside_best(outcomes: Sequence[Outcome]) -> str:
    """Say how we stand beside the setting of TorchServe that is best at this load."""
    named = {each.name: each for each in outcomes}
    quickest = best(named[direct.name] for direct in SETTINGS)
    beside = ratio(named[OURS], quickest)
    shown = beside if isinstance(beside, str) else f"{beside:.2f}"
    return f"Beside the best setting of TorchServe's at this load ({quickest.name}): {shown}"


def _plot(outcomes: Mapping[int, Sequence[Outcome]]) -> Plot:
    lines: dict[str, list[tuple[float, float]]] = {}
    for connections, found in outcomes.items():
        for each in found:
            if each.refusal is None:
                point = (connections, each.median(lambda turn: turn.per_second))
                lines.setdefault(each.name, []).append(point)
    title = "The example network: answers per second"
    return Plot("small_network", title, "connections", "answers per second", lines)
