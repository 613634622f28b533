"""The example network, which costs nothing: what is measured is the way to it.

Ours, TorchServe called directly in several settings, and other servers, at several numbers of
connections.
"""

import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

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
from benchmarks.progress import tell
from benchmarks.report import Panel, Plot, Report, comparison
from benchmarks.servers import Direct, Running, ours, torchserve, unpacked
from benchmarks.turns import (
    OURS,
    Answers,
    Candidate,
    Entrants,
    Outcome,
    Turn,
    best,
    ratio,
    take_turns,
)

CONNECTIONS = (1, 16, 64, 256)
SETTINGS = (Direct(1, 1), Direct(64, 1), Direct(128, 5))
OUR_BODY = json.dumps({"model_name": EXAMPLE, "inputs": ROW})
OUR_PATTERN = rf'"result":%[*{NUMBER}'


async def run(effort: Effort) -> Report:
    """Return a table for each number of connections, and a plot of all."""
    expected = expected_answer()
    outcomes: dict[int, list[Outcome]] = {}
    with contextlib.ExitStack() as stack:
        entrants = Entrants(stack)
        asked = _start(stack, entrants, effort)
        for connections in CONNECTIONS:
            candidates = [
                Candidate(name, each.load(expected, connections, effort), each.server.processes)
                for name, each in asked.items()
            ]
            taken = await take_turns(candidates, effort.rounds, f"{connections} connections")
            outcomes[connections] = [*taken, *entrants.absent]
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


class _Asked(NamedTuple):
    """A server, the body that it is sent, and the pattern of its answer."""

    server: Running
    body: str
    pattern: str

    def load(
        self, expected: float, connections: int, effort: Effort
    ) -> Callable[[], Awaitable[Answers]]:
        """Return what asks it over *connections*."""
        return partial(
            run_load,
            self.server.url,
            self.body,
            self.pattern,
            expected,
            connections=connections,
            seconds=effort.seconds,
        )


def _start(stack: contextlib.ExitStack, entrants: Entrants, effort: Effort) -> dict[str, _Asked]:
    """Start every server, once for all loads."""
    tell(f"    starting {OURS}")
    server = stack.enter_context(ours(EXAMPLE))
    predict = server._replace(url=f"{server.url}/predict")
    asked = {OURS: _Asked(predict, OUR_BODY, OUR_PATTERN)}
    for direct in SETTINGS:
        running = entrants.enter(direct.name, partial(torchserve, EXAMPLE, direct))
        if running is not None:
            asked[direct.name] = _Asked(running, json.dumps(ROW), NUMBER)
    for peer in EXAMPLE_SERVERS:
        start = partial(example_server, peer, effort.environments)
        running = entrants.enter(peer.name, start)
        if running is not None:
            asked[peer.name] = _Asked(running, peer.body, peer.pattern)
    return asked


def _beside_best(outcomes: Sequence[Outcome]) -> str:
    """Say how we stand beside the setting of TorchServe that is best at this load."""
    named = {each.name: each for each in outcomes}
    settings = [named[direct.name] for direct in SETTINGS]
    if all(each.refusal is not None for each in settings):
        return "No setting of TorchServe's can be compared with."
    quickest = best(settings)
    beside = ratio(named[OURS], quickest)
    shown = beside if isinstance(beside, str) else f"{beside:.2f}"
    return f"Beside the best setting of TorchServe's at this load ({quickest.name}): {shown}"


def _plot(outcomes: Mapping[int, Sequence[Outcome]]) -> Plot:
    panels = [
        Panel("connections", "answers per second", _lines(outcomes, lambda turn: turn.per_second)),
        Panel("connections", "p99, ms", _lines(outcomes, lambda turn: turn.answers.p99_ms)),
    ]
    return Plot("small_network", "The example network", panels)


def _lines(
    outcomes: Mapping[int, Sequence[Outcome]], figure: Callable[[Turn], float]
) -> dict[str, list[tuple[float | str, float]]]:
    lines: dict[str, list[tuple[float | str, float]]] = {}
    for connections, found in outcomes.items():
        for each in found:
            if each.refusal is None:
                lines.setdefault(each.name, []).append((connections, each.median(figure)))
    return lines
