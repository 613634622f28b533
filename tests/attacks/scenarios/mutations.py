"""Good requests to every route, changed at random: each gets an answer in the one format."""

from collections.abc import Sequence

from tests.attacks.attack import OK, REFUSED, Act, Attack
from tests.attacks.mutation.checks import send_mutated
from tests.integration.server import Server

SEED = 11


def _mutated(count: int) -> Act:
    async def act(server: Server) -> list[int]:
        return await send_mutated(server.port, range(count), SEED)

    return act


# 409: what is asked cannot be beside another change.  500: as TorchServe's /ping; `checks` refuses
# it from all others.
MAY_GET = OK | REFUSED | {204, 304, 409, 500, 504}
ATTACKS: Sequence[Attack] = (
    Attack("400 mutated requests", _mutated(400), attackers_see=MAY_GET, peak_mib=256),
    Attack(
        "10,000 mutated requests",
        _mutated(10_000),
        attackers_see=MAY_GET,
        peak_mib=256,
        quick=False,
    ),
)
