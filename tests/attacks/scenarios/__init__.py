"""All attacks, by the kind of fault that they look for."""

from collections.abc import Sequence

from tests.attacks.attack import Attack
from tests.attacks.scenarios import (
    bodies,
    connections,
    cost,
    fetched,
    headers,
    leaving,
    mutations,
    trouble,
)

ATTACKS: Sequence[Attack] = (
    *bodies.ATTACKS,
    *connections.ATTACKS,
    *headers.ATTACKS,
    *trouble.ATTACKS,
    *fetched.ATTACKS,
    *cost.ATTACKS,
    *leaving.ATTACKS,
    *mutations.ATTACKS,
)
