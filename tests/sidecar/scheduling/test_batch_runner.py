"""Batches of requests to custom handlers: each entry gets its own answer, whatever happens."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from sidecar.errors import EngineUnavailable, InternalError, ModelNotReady, WorkerDied
from sidecar.scheduling.batch_runner import BatchRunner
from sidecar.scheduling.dispatcher import Dispatcher
from sidecar.scheduling.entry import AwaitedEntry, Forwarded
from sidecar.scheduling.entry_queue import EntryQueue
from sidecar.scheduling.request_batch import PIECE, UNCACHED
from sidecar.scheduling.runner import JobLimits
from sidecar.telemetry.prometheus import Metrics
from sidecar.torchserve.client import TorchServeClient
from sidecar.torchserve.failures import EngineGone
from sidecar.torchserve.forked_workers.request_batches import packed_requests
from sidecar.torchserve.forwarding import EngineResponse, ForwardedRequest, ForwardListener
from tests.sidecar.scheduling.test_request_batch import answered, frame
from tests.waiting import until

SIZE = 4
JSON_HEAD = [("Content-Type", "application/json")]


@dataclass
class Call:
    """A batch that was sent, and is not answered yet."""

    request: ForwardedRequest
    listener: ForwardListener
    cancelled: bool = False

    @property
    def bodies(self) -> list[bytes]:
        """What the handler is given."""
        kind, packed = self.request.headers[0][1], bytearray(self.request.body)
        message = {"parameters": [{"name": "body", "contentType": kind, "value": packed}]}
        found = packed_requests([message])
        assert found is not None
        return [bytes(each["parameters"][0]["value"]) for each in found]

    def cancel(self) -> None:
        self.cancelled = True

    def answer(self, *answers: bytes, **options: Any) -> None:
        self.listener.answered(EngineResponse(200, "OK", [], frame(*answers, **options)))

    def echo(self, seconds: float = 0.0) -> None:
        answers = [answered(place, body) for place, body in enumerate(self.bodies)]
        self.answer(*answers, seconds=seconds)

    def refuse(self, status: int, kind: str, message: str = "") -> None:
        body = f'{{"code": {status}, "type": "{kind}", "message": "{message}"}}'.encode()
        self.listener.answered(EngineResponse(status, "", JSON_HEAD, body))

    async def stream(self, *frames: bytes, then: Exception | None = None) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            for each in frames:
                yield each
            if then is not None:
                raise then

        try:
            await self.listener.stream(EngineResponse(200, "OK", [], b"", pieces()))
        except Exception as exc:  # noqa: BLE001 - as the call itself does
            self.listener.failed(exc)


@dataclass
class Forwarding:
    """Takes what is sent to TorchServe."""

    calls: list[Call] = field(default_factory=list)

    def send(self, request: ForwardedRequest, _: float, listener: ForwardListener) -> Call:
        self.calls.append(Call(request, listener))
        return self.calls[-1]


class Client:
    """TorchServe's, as far as a runner knows it."""

    def __init__(self) -> None:
        self.forwarding = Forwarding()


class Lane:
    """A dispatcher with its runner, in front of a TorchServe that answers when it is told to."""

    def __init__(self) -> None:
        client, limits = Client(), JobLimits(SIZE, 1 << 20, 5)
        self.skipped = 0.0  # seconds
        self.forwarding = client.forwarding

        def build(breaker: Any, callbacks: Any, **options: Any) -> BatchRunner:
            metrics = Metrics().model("own")
            engine = cast("TorchServeClient", client)
            return BatchRunner("own", engine, metrics, limits, breaker, callbacks, **options)

        self.dispatcher = Dispatcher(
            "own",
            EntryQueue(max_entries=99, max_bytes=1 << 20, ageing_seconds=1000.0),
            build,
            limits,
            on_trouble=lambda: None,
            on_waiting=lambda: None,
            clock=lambda: time.monotonic() + self.skipped,
        )
        self.dispatcher.open(1, "1.0")

    def ask(self, *bodies: bytes, version: str | None = None, **options: Any) -> Any:
        """Queue a request with each of *bodies*; return the entries."""
        path = "/predictions/own"
        loop = asyncio.get_running_loop()
        entries = [
            AwaitedEntry(
                cast("Any", ForwardedRequest(path, [], body)), loop.create_future(), **options
            )
            for body in bodies
        ]
        for entry in entries:
            entry.version = version
        self.dispatcher.put(entries)
        return entries

    async def call(self, count: int) -> Call:
        """Wait until *count* batches were sent in all; return the last."""
        assert await until(lambda: len(self.forwarding.calls) >= count)
        return self.forwarding.calls[count - 1]


async def replies(entries: Sequence[AwaitedEntry]) -> list[Forwarded]:
    return [cast("Forwarded", await entry.reply) for entry in entries]


@pytest.fixture
async def lane() -> Lane:
    return Lane()


async def test_requests_share_a_batch_and_get_their_own_answers(lane: Lane) -> None:
    entries = lane.ask(b"a", b"b", b"c")
    call = await lane.call(1)
    assert (call.request.path, call.bodies) == ("/predictions/own", [b"a", b"b", b"c"])
    call.echo()
    assert [each.body for each in await replies(entries)] == [b"a", b"b", b"c"]


async def test_the_more_urgent_go_first_in_batches_of_the_archives_size(lane: Lane) -> None:
    low = lane.ask(*[b"low"] * SIZE)
    high = lane.ask(b"high", priority=4)
    first = await lane.call(1)
    assert first.bodies == [b"high", *[b"low"] * (SIZE - 1)]
    first.echo()
    (await lane.call(2)).echo()
    assert [each.body for each in await replies(high + low)] == [b"high", *[b"low"] * SIZE]


async def test_a_batch_that_takes_long_is_followed_by_one_that_was_sent_ahead(lane: Lane) -> None:
    lane.ask(*[b"x"] * (3 * SIZE))
    for number in range(1, 3):
        call = await lane.call(number)
        lane.skipped += 100
        call.echo(seconds=100)
    await lane.call(3)
    assert len(lane.forwarding.calls) == 3
    lane.ask(*[b"x"] * SIZE)
    await settled()
    assert len(lane.forwarding.calls) == 3  # the third has just begun
    lane.skipped += 90
    lane.ask(b"x")
    await lane.call(4)


async def test_no_batch_is_sent_ahead_where_urgent_requests_come(lane: Lane) -> None:
    lane.ask(*[b"x"] * (2 * SIZE))
    for number in range(1, 3):
        call = await lane.call(number)
        lane.skipped += 100
        call.echo(seconds=100)
    lane.ask(b"urgent", priority=10)
    lane.ask(*[b"x"] * (2 * SIZE))
    urgent = await lane.call(3)
    lane.skipped += 90
    lane.ask(b"x")
    await settled()
    assert len(lane.forwarding.calls) == 3
    lane.skipped += 10
    urgent.echo(seconds=100)
    await settled()
    assert len(lane.forwarding.calls) == 3  # who was urgent may ask again at once
    lane.ask(b"urgent again", priority=10)
    again = await lane.call(4)
    assert again.bodies[0] == b"urgent again"
    again.echo(seconds=100)
    lane.skipped += 100  # this time it did not
    lane.ask(b"x")
    await lane.call(5)


async def test_short_batches_teach_nothing_wrong_of_long_ones(lane: Lane) -> None:
    for number in range(1, 4):
        (entry,) = lane.ask(b"x")
        call = await lane.call(number)
        call.echo(seconds=0.001)
        await entry.reply
    (entry,) = lane.ask(b"x")
    call = await lane.call(4)
    lane.skipped += 100
    call.echo(seconds=100)
    await entry.reply
    lane.ask(b"x")
    await lane.call(5)  # a lone client's next request does not wait for anybody


async def settled() -> None:
    """Let the event loop do what is due now."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_requests_for_another_version_are_a_batch_of_their_own(lane: Lane) -> None:
    entries = lane.ask(b"a")
    others = lane.ask(b"b", b"c", version="2.0")
    (await lane.call(1)).echo()
    second = await lane.call(2)
    assert (second.request.path, second.bodies) == ("/predictions/own/2.0", [b"b", b"c"])
    second.echo()
    assert [each.body for each in await replies(entries + others)] == [b"a", b"b", b"c"]


async def test_status_reason_and_headers_are_the_handlers(lane: Lane) -> None:
    entries = lane.ask(b"a")
    told = answered(0, b"no", status=418, reason="Teapot", headers=(("X-Own", "1"),))
    (await lane.call(1)).answer(told)
    (reply,) = await replies(entries)
    assert (reply.status, reply.reason) == (418, "Teapot")
    assert list(reply.headers) == [("X-Own", "1"), *UNCACHED.values()]


async def test_a_batch_that_failed_is_tried_again_one_by_one(lane: Lane) -> None:
    entries = lane.ask(b"good", b"bad")
    (await lane.call(1)).answer(code=503, message="Prediction failed")
    alone = await lane.call(2)
    assert alone.bodies == [b"good"]
    alone.echo()
    (await lane.call(3)).answer(code=503, message="Prediction failed")
    good, bad = await replies(entries)
    assert (good.body, bad.status) == (b"good", 503)
    assert b'"Prediction failed"' in bad.body


async def test_a_lone_request_that_failed_is_not_tried_again(lane: Lane) -> None:
    entries = lane.ask(b"bad")
    (await lane.call(1)).answer(code=507, message="Out of resources")
    (reply,) = await replies(entries)
    assert (reply.status, len(lane.forwarding.calls)) == (507, 1)


async def test_a_dead_workers_requests_are_tried_once_more_alone(lane: Lane) -> None:
    entries = lane.ask(b"a", b"b")
    (await lane.call(1)).refuse(500, "InternalServerException", "Worker died.")
    (await lane.call(2)).refuse(500, "InternalServerException", "Worker died.")
    (await lane.call(3)).echo()
    first, second = entries
    with pytest.raises(WorkerDied):
        await first.reply
    assert cast("Forwarded", await second.reply).body == b"b"


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [(404, "ModelNotFoundException", ModelNotReady), (503, "ServiceUnavailable", ModelNotReady)],
)
async def test_a_model_without_workers_is_not_ready(
    lane: Lane, status: int, kind: str, error: type[Exception]
) -> None:
    (entry,) = lane.ask(b"a")
    (await lane.call(1)).refuse(status, kind)
    (await lane.call(2)).refuse(status, kind)
    with pytest.raises(error):
        await entry.reply


async def test_what_torchserve_says_of_a_version_is_passed_on(lane: Lane) -> None:
    entries = lane.ask(b"a", b"b", version="9/?")
    call = await lane.call(1)
    assert call.request.path == "/predictions/own/9%2F%3F"
    call.refuse(404, "ModelVersionNotFoundException")
    assert [each.status for each in await replies(entries)] == [404, 404]


@pytest.mark.parametrize("answers", [(), (answered(0, b"a"),)])
async def test_a_batch_that_is_not_answered_for_all_is_an_internal_error(
    lane: Lane, answers: tuple[bytes, ...]
) -> None:
    entries = lane.ask(b"a", b"b")
    (await lane.call(1)).answer(*answers)
    for entry in entries:
        with pytest.raises(InternalError):
            await entry.reply


async def test_pieces_reach_each_client_and_end_with_the_batch(lane: Lane) -> None:
    entries = lane.ask(b"a", b"b")
    call = await lane.call(1)
    pieces = frame(answered(0, b"a1"), answered(1, b"b1"), kind=PIECE)
    streaming = asyncio.create_task(
        call.stream(pieces[:9], pieces[9:], frame(answered(0, b"a2"), answered(1, b"b2")))
    )
    streams = [each.pieces for each in await replies(entries)]
    assert all(stream is not None for stream in streams)
    heard = [[piece async for piece in stream] for stream in streams if stream is not None]
    assert heard == [[b"a1", b"a2"], [b"b1", b"b2"]]
    await streaming
    assert lane.dispatcher.in_flight == 0


async def test_a_stream_is_cut_where_torchserve_goes_away(lane: Lane) -> None:
    entries = lane.ask(b"a")
    call = await lane.call(1)
    await call.stream(
        frame(answered(0, b"a1"), kind=PIECE), then=EngineGone("it died", reached=True)
    )
    (reply,) = await replies(entries)
    assert reply.pieces is not None
    assert await anext(reply.pieces) == b"a1"
    with pytest.raises(EngineUnavailable):
        await anext(reply.pieces)


async def test_a_client_that_takes_nothing_does_not_hold_the_others_up(lane: Lane) -> None:
    slow, quick = lane.ask(b"slow", b"quick")
    call = await lane.call(1)
    piece = b"x" * (1 << 20)
    frames = [frame(answered(0, piece), answered(1, piece), kind=PIECE)] * 20
    streaming = asyncio.create_task(call.stream(*frames, frame(answered(0, b""), answered(1, b""))))
    first, second = await replies([slow, quick])
    assert first.pieces is not None
    assert second.pieces is not None
    await streaming
    with pytest.raises(EngineUnavailable, match="too slowly"):
        async for _ in first.pieces:
            pass


async def test_what_is_under_way_at_the_end_is_cancelled_and_refused(lane: Lane) -> None:
    (entry,) = lane.ask(b"a")
    call = await lane.call(1)
    await lane.dispatcher.cancel_jobs()
    assert call.cancelled
    with pytest.raises(Exception, match="stopping"):
        await entry.reply
