"""Every quick attack on a real server: /livez answers beside it, others are served, it recovers."""

from collections.abc import Iterator

import pytest

from tests.attacks.attack import Attack, problems, run
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
    for _ in range(3):  # other tests take their share of the processors; a true stall comes again
        report = await run(attack, attacked)
        if not (found := problems(attack, report, strict=False)):
            return
    assert not found, report
