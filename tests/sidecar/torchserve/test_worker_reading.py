"""What our workers do in another way than TorchServe's: they read, and tell of metrics."""

import io
import logging
import socket
from collections.abc import Iterator

import pytest

from sidecar.torchserve.forked_workers.buffered_reading import CHUNK_BYTES, BufferedConnection
from sidecar.torchserve.forked_workers.metric_lines import HOLD_SECONDS, MetricLines


class Counted:
    """A connection over which *data* comes; it counts how often it is read."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)
        self.reads = 0

    def recv(self, most: int) -> bytes:
        self.reads += 1
        return self._data.read(most)


def test_small_pieces_take_one_read() -> None:
    counted = Counted(bytes(range(200)))
    reading = BufferedConnection(counted)  # type: ignore[arg-type]
    assert b"".join(reading.recv(4) for _ in range(50)) == bytes(range(200))
    assert (counted.reads, reading.has_more) == (1, False)
    assert reading.recv(4) == b""


def test_large_pieces_are_read_past_the_buffer() -> None:
    data = b"head" + bytes(3 * CHUNK_BYTES)
    counted = Counted(data)
    reading = BufferedConnection(counted)  # type: ignore[arg-type]
    found = reading.recv(4)
    while more := reading.recv(2 * CHUNK_BYTES):
        found += more
    assert found == data
    assert counted.reads <= 4


@pytest.fixture
def connections() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A worker's connection, and Java's end of it."""
    ours, java = socket.socketpair()
    with ours, java:
        yield ours, java


@pytest.fixture
def lines() -> MetricLines:
    found = MetricLines()
    found.setStream(io.StringIO())
    return found


def tell(lines: MetricLines, text: str, *arguments: object) -> None:
    lines.handle(logging.LogRecord("ts", logging.INFO, "", 0, text, arguments, None))


def written(lines: MetricLines) -> str:
    stream = lines.stream
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def test_metrics_wait_and_all_else_is_written_at_once(lines: MetricLines) -> None:
    tell(lines, "[METRICS]PredictionTime.ms:1")
    tell(lines, "Backend received inference at: %d", 1)
    tell(lines, "a handler says %s", "this")
    assert written(lines) == "a handler says this\n"
    lines.write_held()
    assert written(lines).endswith("this\n[METRICS]PredictionTime.ms:1\n")


def test_metrics_are_written_when_nothing_else_comes(
    lines: MetricLines, connections: tuple[socket.socket, socket.socket]
) -> None:
    ours, java = connections
    tell(lines, "[METRICS]first")
    java.sendall(b"the next request")
    lines.write_when_due(ours)
    assert written(lines) == ""
    ours.recv(100)
    lines.write_when_due(ours)
    assert written(lines) == "[METRICS]first\n"


def test_metrics_of_a_long_batch_do_not_wait_for_its_end(
    lines: MetricLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    module = "sidecar.torchserve.forked_workers.metric_lines.time.monotonic"
    monkeypatch.setattr(module, lambda: now)
    tell(lines, "[METRICS]first")
    assert written(lines) == ""
    now += HOLD_SECONDS
    tell(lines, "[METRICS]second")
    assert written(lines) == "[METRICS]first\n[METRICS]second\n"
