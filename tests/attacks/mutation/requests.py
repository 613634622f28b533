"""The request with a number: the same for the same seed, whichever were made before it."""

import random
from typing import NamedTuple

from sidecar.routes.groups import ROUTES
from tests.attacks.mutation.changes import ODD_BYTES, change
from tests.attacks.mutation.examples import examples

DAMAGED_WIRE = 0.05  # this share is damaged as a whole, framing included


class Mutated(NamedTuple):
    """*data* goes onto the wire; not *whole*: it may end without an answer."""

    name: str
    method: str
    path: str
    data: bytes
    whole: bool


def mutated(seed: int, number: int) -> Mutated:
    """Request *number*; one after another they go round all routes."""
    chance = random.Random(f"{seed}:{number}")
    route = ROUTES[number % len(ROUTES)]
    draft = chance.choice(examples((route.method, route.path)))
    change(chance, draft)
    data, whole = draft.wire(), draft.whole
    if chance.random() < DAMAGED_WIRE:
        data, whole = _damaged(chance, data), False
    name = f"{seed}:{number}"
    return Mutated(name, data.split(b" ")[0].decode("latin-1"), route.path, data, whole)


def _damaged(chance: random.Random, data: bytes) -> bytes:
    """Cut, or with other bytes anywhere, or with a length or an encoding that is not true."""
    way = chance.randrange(4)
    if way == 0:
        return data[: chance.randrange(len(data))]
    if way == 1:
        at = chance.randrange(min(len(data), 400))
        return data[:at] + chance.choice(ODD_BYTES) + data[at:]
    head, _, body = data.partition(b"\r\n\r\n")
    if way == 2:
        length = chance.choice([b"-1", b"0", b"1", b"99999", b"a", b"1, 1", b"9" * 30, b"+1"])
        return head + b"\r\nContent-Length: " + length + b"\r\n\r\n" + body
    chunk = chance.choice([b"zz", b"-1", b"fffffffffffffffff", b"5", b"5;a=\xff", b""])
    return head + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + b"\r\n" + body
