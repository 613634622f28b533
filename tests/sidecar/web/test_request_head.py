"""One client's headers stay in its request: what breaks a header's grammar goes nowhere."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from sidecar.settings import Settings
from sidecar.telemetry.logs import SERVER_LOG, open_logs
from tests.fake_torchserve import FakeTorchServe
from tests.sidecar.conftest import Client

TRACE = b"00-" + b"ab" * 16 + b"-" + b"cd" * 8 + b"-01"
BODY = b'{"model_name":"echo","inputs":[1]}'
NAMES = [
    b"traceparent",
    b"X-Request-ID",
    b"X-Forwarded-For",
    b"Accept",
    b"Cache-Control",
    b"If-None-Match",
    b"Content-Type",
    b"Content-Encoding",
    b"Origin",
    b"Authorization",
    b"X-API-Key",
    b"If-Modified-Since",
    b"Range",
    b"Cookie",
    b"Accept-Encoding",
]
VALUES = [
    b"\xff\xfe",
    "a\u2028[PID]1".encode(),
    "\u0085".encode(),
    b"\xed\xa0\x80",
    b"\x0b\x0c",
    "\u2100\u00e9\u0661".encode(),
    b"http://[",
    b"[",
    b"%",
    b'"',
    b"multipart/form-data;",
    b"multipart/form-data; boundary=\xff",
    "http://a\u2100b".encode(),
    b"x" * 4000,
]


@pytest.fixture
def clean_log(tmp_path: Path) -> Iterator[None]:
    """Fails the test when an error of ours, or what was sent, is in server.log."""
    with open_logs(Settings(log_dir=tmp_path / "logs")):
        yield
    log = (tmp_path / "logs" / SERVER_LOG).read_text()
    assert "Traceback" not in log
    assert "[PID]1" not in log
    assert "\u2100" not in log


async def raw(client: Client, head: bytes, body: bytes = b"") -> tuple[int, bytes, bytes]:
    """Sends bytes as they are; the answer's status, head and body."""
    reader, writer = await asyncio.open_connection(client.host, client.port)
    length = b"Content-Length: %d\r\n" % len(body)
    writer.write(head + length + b"Connection: close\r\n\r\n" + body)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    start, _, rest = answer.partition(b"\r\n\r\n")
    return int(start.split(b" ", 2)[1]), start, rest


async def post(client: Client, *headers: bytes) -> tuple[int, bytes, bytes]:
    lines = b"".join(header + b"\r\n" for header in headers)
    return await raw(client, b"POST /predict HTTP/1.1\r\nHost: localhost\r\n" + lines, BODY)


def sent(torchserve: FakeTorchServe) -> dict[str, object]:
    """The header of the first item of the last job."""
    return torchserve.items[-1][0]


async def test_a_good_traceparent_and_request_id_go_to_the_worker(
    client: Client, torchserve: FakeTorchServe
) -> None:
    await post(client, b"traceparent: " + TRACE, b"X-Request-ID: mine")
    assert sent(torchserve)["traceparent"] == TRACE.decode()
    assert sent(torchserve)["request_id"] == "mine"


async def test_a_later_version_of_traceparent_goes_on_as_ours(
    client: Client, torchserve: FakeTorchServe
) -> None:
    await post(client, b"traceparent: cc" + TRACE[2:-2] + b"ff-more")
    assert sent(torchserve)["traceparent"] == TRACE.decode()[:-2] + "03"


@pytest.mark.parametrize(
    "value",
    [
        b"\xff\xfe",
        TRACE + "\u2028[PID]1".encode(),
        TRACE + b"-more",
        TRACE.upper(),
        b"ff" + TRACE[2:],
        b"00-" + b"0" * 32 + TRACE[35:],
        TRACE[:36] + b"0" * 16 + b"-01",
        TRACE[:-1],
        "٠٠".encode() + TRACE[2:],
        TRACE + b"\r\ntraceparent: " + TRACE,
    ],
)
async def test_any_other_traceparent_is_dropped(
    client: Client, torchserve: FakeTorchServe, value: bytes
) -> None:
    status, _, _ = await post(client, b"traceparent: " + value)
    assert status == 200
    assert "traceparent" not in sent(torchserve)


@pytest.mark.parametrize("value", ["é".encode(), "٣".encode(), b"\xff", b"a b", b"x" * 129])
async def test_a_request_id_that_is_no_plain_ascii_is_replaced(
    client: Client, torchserve: FakeTorchServe, value: bytes
) -> None:
    status, head, _ = await post(client, b"X-Request-ID: " + value)
    assert status == 200
    assert value not in head
    assert len(str(sent(torchserve)["request_id"])) == 32


@pytest.mark.usefixtures("clean_log")
@pytest.mark.parametrize("name", NAMES, ids=bytes.decode)
async def test_no_header_causes_an_internal_error_or_a_log_line(
    client: Client, name: bytes
) -> None:
    for value in VALUES:
        for path in (b"POST /predict", b"GET /info", b"POST /audio/validate", b"GET /docs"):
            head = path + b" HTTP/1.1\r\nHost: localhost\r\n" + name + b": " + value + b"\r\n"
            status, _, _ = await raw(client, head, BODY if path.startswith(b"POST") else b"")
            assert status < 500, (path, value)


@pytest.mark.parametrize(
    "host", [b"[", b"\xff", b"[::1", "localhost\u2028".encode(), b"a:b:c", b"[::1%25x]", b""]
)
async def test_a_host_that_is_none_is_refused(client: Client, host: bytes) -> None:
    status, _, _ = await raw(client, b"GET /livez HTTP/1.1\r\nHost: " + host + b"\r\n")
    assert status in (400, 403)


@pytest.mark.parametrize(
    "target",
    [
        b"/models/\xff",
        b"/logs?\xff=1",
        b"/models/\xe2\x80\xa8",
        b"/autoscaler/history?\xff",
        b"/models/%ff",
        b"/models/%ed%a0%80",
        b"/models/%e2%80%a8%0a",
        b"/models/download/%ff",
        b"/autoscaler/history?%ff=1",
        b"/autoscaler/history?event_types=%ff",
        b"/%69nfo",
        b"/docs/assets/%ff",
        b"/models/downloads/%00",
        b"/logs/%ff",
    ],
)
async def test_a_target_that_is_no_text_is_no_error_of_ours(client: Client, target: bytes) -> None:
    status, head, body = await raw(client, b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n")
    assert status < 500
    if status >= 400 and b"application/json" in head:  # else aiohttp's parser refused it
        assert msgspec.json.decode(body)["status_code"] == status


async def test_a_file_name_that_is_not_utf_8_is_no_error_of_ours(client: Client) -> None:
    for name in (b"\xff\xfe", "a\u2028b".encode(), b'a\\"b', b"\xed\xa0\x80"):
        body = (
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="' + name + b'"\r\n\r\n'
            b"nothing\r\n--x--\r\n"
        )
        head = (
            b"POST /audio/validate HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n"
        )
        status, _, answer = await raw(client, head, body)
        assert status in (200, 400)
        assert answer.decode()
