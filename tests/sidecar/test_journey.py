"""A guard for the journeys: which modules one warm request enters on the event loop's thread.

A room is a module of `sidecar/` that is entered, a move a call into another one than the last; a
coroutine that goes on counts as a call.  The modules of background tasks do not count, nor do the
other threads.  `pytest -rP` prints the journeys; docs/decisions/0022 and 0028 draw them.
"""

import asyncio
import json
import sys
import warnings
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import aiohttp
import pytest

import sidecar
from tests.fake_torchserve import FakeTorchServe, Spoken
from tests.sidecar.conftest import CATALOG, StartSidecar
from tests.sidecar.routes.test_speech_refusals import SPEAKING
from tests.sidecar.test_hot_path import Outside

SIDECAR = str(Path(sidecar.__file__).parent) + "/"
BACKGROUND = (
    "background",
    "downloads",
    "models.autoscaler",
    "models.catalog_watch",
    "models.reconciler",
    "models.scaling",
    "telemetry.gpus",
    "telemetry.system",
)
ALLOWED = 1.25
TONE = (1000).to_bytes(2, "little") * 24000  # a second
BODIES: dict[str, dict[str, Any]] = {
    "/predict": {"model_name": "echo", "inputs": [1]},
    "/synthesize": {"text": "First comes this sentence."},
}


class Journey(NamedTuple):
    """The modules that were entered, in order, each as often as it was come to."""

    stops: list[str]

    @property
    def rooms(self) -> int:
        return len(set(self.stops))

    @property
    def moves(self) -> int:
        return len(self.stops) - 1


class JourneyRecorder:
    """Notes the calls that this thread makes inside the `with` block."""

    def __init__(self) -> None:
        self._modules: list[str] = []

    def __enter__(self) -> "JourneyRecorder":
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(SIDECAR):
            module = file.removeprefix(SIDECAR).removesuffix(".py").replace("/", ".")
            if not module.startswith(BACKGROUND):
                self._modules.append(module)

    def journey(self) -> Journey:
        """Return what was noted, without calls within a module."""
        return Journey(
            self._modules[:1] + [new for old, new in pairwise(self._modules) if new != old]
        )


@pytest.mark.filterwarnings("default:.*record it here")  # good news fails nobody
@pytest.mark.parametrize(
    ("path", "rooms", "moves"), [("/predict", 22, 51), ("/synthesize", 34, 96)]
)
async def test_a_request_enters_no_more_modules_than_recorded(
    start: StartSidecar, tmp_path: Path, path: str, rooms: int, moves: int
) -> None:
    outside = Outside()
    folder = tmp_path / "outside"
    folder.mkdir()
    fake = FakeTorchServe(folder, lambda value: Spoken(TONE) if path == "/synthesize" else value)
    fake.archives |= {"hibari_tts.mar"}
    await outside.run(fake.start())
    urls = dict.fromkeys(("inference_url", "management_url", "metrics_url"), fake.url)
    client = await start(
        catalog=CATALOG | {"hibari_tts": SPEAKING},
        torchserve_key_file=fake.key_file,
        poll_seconds=600.0,
        **urls,
    )
    journeys = await _ask(outside, str(client.make_url(path)), BODIES[path])
    await outside.run(fake.stop())
    await outside.stop()
    shortest = min(journeys, key=lambda journey: journey.moves)
    print(f"{path}: {shortest.rooms} rooms, {shortest.moves} moves:", *shortest.stops)
    assert shortest.rooms <= rooms * ALLOWED
    assert shortest.moves <= moves * ALLOWED
    if shortest.moves < moves / ALLOWED:
        warnings.warn(f"{path}: {shortest.moves} moves: record it here", stacklevel=1)


async def _ask(outside: Outside, url: str, body: dict[str, Any]) -> list[Journey]:
    """Return the journeys of some requests, one after another, once all is warm."""

    async def one() -> None:
        async with session.post(url, data=json.dumps(body)) as response:
            assert response.status == 200
            await response.read()

    async def opened() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(headers={"Content-Type": "application/json"})

    session = await outside.run(opened())
    for _ in range(3):
        await outside.run(one())
    journeys = []
    for _ in range(5):
        with JourneyRecorder() as recorder:
            await outside.run(one())
            await asyncio.sleep(0)  # what follows the answer
        journeys.append(recorder.journey())
    await outside.run(session.close())
    return journeys
