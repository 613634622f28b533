"""Streams that are asked for at the same moment begin together."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, aclosing, closing
from typing import Any

from sidecar.program import PROGRAM
from sidecar.scheduling.scheduler import SchedulingOptions
from sidecar.schemas.synthesis import SynthesisRequest
from sidecar.speech.joint_start import QUIET_SECONDS, TURNS, JointStart
from sidecar.speech.service import SpeechService
from tests.fake_torchserve import FakeTorchServe, Spoken
from tests.sidecar.conftest import CATALOG, StartSidecar
from tests.sidecar.routes.test_speech_refusals import SPEAKING
from tests.waiting import let_the_loop_turn

MOST = 3


class Timers:
    """Timers that ring when the test says so."""

    def __init__(self) -> None:
        self.due: list[tuple[float, Callable[[], None]]] = []

    def later(self, seconds: float, call: Callable[[], None]) -> "Timers.Timer":
        self.due.append((seconds, call))
        return Timers.Timer(self, self.due[-1])

    def ring(self) -> None:
        """Let all that is due happen."""
        due, self.due = self.due, []
        for _, call in due:
            call()

    class Timer:
        def __init__(self, timers: "Timers", entry: tuple[float, Callable[[], None]]) -> None:
            self._timers, self._entry = timers, entry

        def cancel(self) -> None:
            self._timers.due.remove(self._entry)


class Streams:
    """Streams that ask one after another, and the names of those that have begun."""

    def __init__(self) -> None:
        self.timers = Timers()
        self.begun: list[str] = []
        self._start = JointStart(self.timers.later)

    async def ask(self, name: str, model: str = "voice", most: int = MOST) -> asyncio.Task[None]:
        async def begin() -> None:
            await self._start.wait(model, most)
            self.begun.append(name)

        asking = asyncio.create_task(begin())
        await let_the_loop_turn(5)
        return asking

    async def ring(self, times: int = 1 + TURNS) -> None:
        """Let the moment pass, and the turns after it, unless *times* says fewer."""
        for _ in range(times):
            self.timers.ring()
        await let_the_loop_turn(5)


async def test_a_stream_that_nobody_joins_begins_after_a_moment() -> None:
    streams = Streams()
    await streams.ask("a")
    assert [seconds for seconds, _ in streams.timers.due] == [QUIET_SECONDS]
    assert not streams.begun
    await streams.ring()
    assert streams.begun == ["a"]


async def test_streams_that_come_within_a_moment_of_each_other_begin_together() -> None:
    streams = Streams()
    await streams.ask("a")
    await streams.ask("b")
    assert not streams.begun
    assert len(streams.timers.due) == 1  # each that comes starts the wait anew
    await streams.ring()
    assert streams.begun == ["a", "b"]


async def test_streams_that_came_while_the_event_loop_stood_still_are_waited_for() -> None:
    """Their requests are read in the turns after the timer, which has rung late."""
    streams = Streams()
    await streams.ask("a")
    await streams.ring(TURNS)
    await streams.ask("b")
    assert [seconds for seconds, _ in streams.timers.due] == [QUIET_SECONDS]
    assert not streams.begun
    await streams.ring()
    assert streams.begun == ["a", "b"]


async def test_streams_that_fill_a_job_wait_no_longer() -> None:
    streams = Streams()
    for name in "abc":
        await streams.ask(name)
    assert sorted(streams.begun) == ["a", "b", "c"]
    assert not streams.timers.due
    await streams.ask("d")
    assert "d" not in streams.begun


async def test_a_model_that_takes_one_input_at_a_time_lets_no_stream_wait() -> None:
    streams = Streams()
    await streams.ask("a", most=1)
    assert streams.begun == ["a"]


async def test_streams_of_other_models_do_not_count() -> None:
    streams = Streams()
    for name, model in (("a", "one"), ("b", "other"), ("c", "third")):
        await streams.ask(name, model)
    assert not streams.begun
    await streams.ring()
    assert streams.begun == ["a", "b", "c"]


async def test_a_client_that_leaves_does_not_hold_up_the_others() -> None:
    streams = Streams()
    first = await streams.ask("a")
    await streams.ask("b")
    first.cancel()
    await let_the_loop_turn(5)
    await streams.ring()
    assert streams.begun == ["b"]


async def test_beginnings_of_streams_share_a_job(
    start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    def says(_: Any) -> Spoken:
        return Spoken(bytes(2400))

    torchserve.answer = says
    torchserve.archives |= {"hibari_tts.mar"}
    catalog = CATALOG | {"hibari_tts": SPEAKING | {"inference": {"max_batch_size": MOST}}}
    client = await start(catalog=catalog)
    await client.post("/synthesize", json={"text": "Now it is ready."})
    before = len(torchserve.items)
    assert client.app is not None
    program = client.app[PROGRAM]
    joint_start = JointStart(Timers().later)  # a timer that never rings
    speech = SpeechService(
        program.models, program.scheduler, program.settings, program.metrics.speech, joint_start
    )
    wanted = SynthesisRequest(text="One sentence. Another.", enable_streaming=True)
    scheduling = SchedulingOptions(priority=0, timeout=60, arrived=time.monotonic())
    call = speech.synthesis_call(wanted.words, wanted, scheduling, None)
    async with AsyncExitStack() as stack:
        stack.enter_context(closing(speech))
        asked = []
        for _ in range(MOST):
            parts = speech.synthesis(call, streamed=True).replies()
            await stack.enter_async_context(aclosing(parts))
            asked.append(asyncio.ensure_future(anext(parts)))
            await let_the_loop_turn()
        await asyncio.gather(*asked)
        assert len(torchserve.items[before]) == MOST
