"""Every quick attack on a real server: /livez answers beside it, others are served, it recovers.

Other tests take their share of the processors meanwhile, which does not count.
"""

from collections.abc import Iterator

import pytest

from tests import run_queue
from tests.attacks.attack import Attack, run_on_busy_machine
from tests.attacks.scenarios import ATTACKS
from tests.attacks.world import build
from tests.integration.server import Server

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with build(tmp_path_factory.mktemp("attacks"), speech=False).running() as server:
        yield server


@pytest.mark.parametrize(
    "attack", [each for each in ATTACKS if each.quick], ids=lambda each: each.name
)
async def test_other_clients_are_not_delayed_during_an_attack(
    attacked: Server, attack: Attack
) -> None:
    report, found = await run_on_busy_machine(attack, attacked, quiet_seconds=0.1)
    assert not found, report if run_queue.are_counted() else (report, run_queue.UNKNOWN)
