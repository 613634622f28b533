"""Clients that keep asking; the answers that each got, and when."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import aiohttp

from tests.live.faulty_model import FINE
from tests.waiting import until

CUT_OFF = 0  # instead of a status: the connection broke
PAUSE_SECONDS = 0.05  # so that the clients are not the load themselves
BUSY_FACTOR = 8  # by which a machine that others share may recover later than a quiet one
BUSY_HELP = "other work shares this machine: limits are the suite's, and no table is written"
GAP_SECONDS = 0.5  # eight clients that are answered leave none as long


class Answer(NamedTuple):
    """One request's end, and when *client* had *sent* it.  *status* 0: no answer came."""

    at: float
    status: int
    right: bool
    sent: float
    client: int


class Crowd:
    """Asks for sums, which are checked, with as many clients as *clients*.

    Their requests have *headers*, a credential for instance.
    """

    def __init__(
        self, url: str, clients: int = 8, headers: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._url, self._headers = url, headers
        self.answers: list[Answer] = []
        self._stop = asyncio.Event()
        self._tasks = [asyncio.create_task(self._client(number)) for number in range(clients)]

    async def _client(self, number: int) -> None:
        async with aiohttp.ClientSession(self._url, headers=self._headers) as session:
            serial = 0
            while not self._stop.is_set():
                serial += 1
                self.answers.append(await self._ask(session, number, serial))
                await asyncio.sleep(PAUSE_SECONDS)

    async def _ask(self, session: aiohttp.ClientSession, number: int, serial: int) -> Answer:
        inputs = [FINE, number, serial, 1]
        body = {"model_name": "faulty", "inputs": inputs, "timeout": 200}
        sent = time.monotonic()
        try:
            async with session.post("/predict", json=body) as response:
                answer: dict[str, Any] = await response.json()
        except aiohttp.ClientError:
            return Answer(time.monotonic(), CUT_OFF, right=False, sent=sent, client=number)
        right = response.status != 200 or answer["result"] == sum(inputs)
        return Answer(time.monotonic(), response.status, right, sent=sent, client=number)

    async def well_for(self, seconds: float, limit: float = 120.0) -> None:
        """Wait until no answer has been bad for *seconds*, and each client is answered after that.

        How many answers come in these seconds does not matter: the machine may be busy.
        """
        began = time.monotonic()

        def is_well() -> bool:
            bad = (each.at for each in reversed(self.answers) if each.status != 200)
            well_at = max(began, next(bad, began)) + seconds
            answered = {each.client for each in self.answers if each.sent >= well_at}
            return len(answered) == len(self._tasks)

        await until(is_well, limit)

    async def stop(self) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)


def counts(answers: Sequence[Answer]) -> Counter[int]:
    """How many there were of each status."""
    return Counter(each.status for each in answers)


def recovery_seconds(answers: Sequence[Answer], fault_at: float) -> float:
    """From the fault to the good answer that ended the last pause, or followed the last bad one.

    0 when there was neither: nobody noticed.
    """
    well_at = last_good = fault_at
    noticed = False
    for each in sorted(answers):
        if each.status != 200:
            noticed = True
            continue
        if noticed or each.at - last_good > GAP_SECONDS:
            well_at, noticed = each.at, False
        last_good = each.at
    return well_at - fault_at
