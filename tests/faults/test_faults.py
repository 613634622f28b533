"""One fault after another on one real server: others are answered, and all is well again.

How soon, on a quiet machine, is what `scripts/faults` checks.
"""

from collections.abc import Iterator

import pytest

from tests.faults.scenario import Scenario, check, run
from tests.faults.scenarios import SCENARIOS
from tests.integration.server import Server
from tests.live.world import build_world

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def faulty_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with build_world(tmp_path_factory.mktemp("faults")).running() as server:
        yield server


@pytest.mark.parametrize(
    "scenario", [each for each in SCENARIOS if each.quick], ids=lambda each: each.name
)
async def test_a_fault_leaves_other_clients_answered_and_is_recovered(
    faulty_server: Server, scenario: Scenario
) -> None:
    patient = scenario.on_busy_machine()
    check(patient, await run(patient, faulty_server))
