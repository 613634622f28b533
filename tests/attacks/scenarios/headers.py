"""Bytes in headers, names and first lines that are to stay in their own request."""

import asyncio
import json
from collections.abc import Sequence

from sidecar.torchserve.client import TorchServeClient
from sidecar.torchserve.key_file import KeyFile
from tests.attacks.attack import OK, REFUSED, Act, Attack
from tests.attacks.error_format import fault_of_error
from tests.attacks.raw_http import Answer, exchange, request
from tests.integration.server import Server
from tests.live.faulty_model import RAISE

GOOD = b'{"model_name":"faulty","inputs":[0,1,2,3]}'
RAISES = b'{"model_name":"faulty","inputs":[%d,1,2,3]}' % RAISE
ODD = (
    b"\xff\xfe",
    b"\x80",
    b"\xed\xa0\x80",
    "\u2028".encode(),
    "\x85".encode(),
    b"\xc2",
    b"http://[",
    "http://℀".encode(),
    b"http://]",
    b"//",
    b"[::1",
    b"a" * 7000,
    b"",
    b"%00",
    b"\x7f",
    "\ufb00\u202e".encode(),
    b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-00",
)
ECHOED = (b"traceparent", b"tracestate", b"X-Request-ID", b"Origin", b"Host", b"X-Forwarded-For")
READ = (
    b"Authorization",
    b"X-API-Key",
    b"Accept",
    b"Content-Type",
    b"Cookie",
    b"Range",
    b"Access-Control-Request-Method",
    b"If-None-Match",
    b"Expect",
    b"Upgrade",
    b"Forwarded",
)
FORGED = (
    "\u2028[PID]1",
    "\u2028[PID]:1",
    "\u2029[METRICS]CPU.Percent:1|#L:H|#h:h,1",
    "\x85[PID]1",
    "\u2028Torch worker started.",
    "\u2028[PID]1\u2028[PID]1\u2028",
)
ALONE = request("POST", "/predict", body=GOOD).partition(b"\r\n\r\n")[0]
UNPARSABLE = (
    ALONE.replace(b"Content-Length: 42", b"Transfer-Encoding: chunked") + b"\r\n\r\nxyz\r\n",
    ALONE.replace(b"Content-Length: 42", b"Transfer-Encoding: chunked") + b"\r\n\r\n-1\r\n",
    ALONE + b"\r\nContent-Length: 43\r\n\r\n" + GOOD,
    ALONE + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + GOOD,
    ALONE.replace(b"Content-Length: 42", b"Content-Length: -1") + b"\r\n\r\n",
    ALONE.replace(b"Content-Length: 42", b"Content-Length: 4_2") + b"\r\n\r\n" + GOOD,
    ALONE.replace(b"Content-Length: 42", b"Transfer-Encoding: nonsense") + b"\r\n\r\n",
    ALONE + b"\r\nExpect: a miracle\r\n\r\n" + GOOD,
    ALONE + b"\r\nX-A: " + b"a" * 20_000 + b"\r\n\r\n" + GOOD,
    ALONE + b"\r\n" + b"X-A: a\r\n" * 20_000 + b"\r\n" + GOOD,
    ALONE + b"\r\nno colon\r\n\r\n" + GOOD,
    ALONE + b"\r\nX A: a\r\n\r\n" + GOOD,
    ALONE + b"\r\nX-A: a\0b\r\n\r\n" + GOOD,
    ALONE + b"\r\n folded\r\n\r\n" + GOOD,
    b"POST /predict HTTP/9.9\r\nHost: localhost\r\n\r\n",
    b"POST /predict\r\n\r\n",
    b"P\xffST /predict HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET //[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n",
    b"\0\r\n\r\n",
)


def _told(answers: Sequence[Answer], sent: Sequence[bytes]) -> list[int]:
    """The statuses; every refusal is in the one format, and none leaves as plain text."""
    wrong = [
        f"{data[:120]!r} got {fault}"
        for answer, data in zip(answers, sent, strict=True)
        if answer.status >= 400 and (fault := fault_of_error(answer))
    ]
    assert not wrong, f"{len(wrong)} of {len(sent)} answers are wrong: {'; '.join(wrong)}"
    return [answer.status for answer in answers]


async def _send(server: Server, sent: Sequence[bytes]) -> list[int]:
    gate = asyncio.Semaphore(8)

    async def one(data: bytes) -> Answer:
        async with gate:
            return await exchange(server.port, data)

    return _told(await asyncio.gather(*map(one, sent)), sent)


def _with_headers(names: Sequence[bytes], times: int = 1) -> Act:
    """Good requests, but for one header each."""
    sent = [
        request("POST", "/predict", b"%s: %s" % (name, value), body=GOOD)
        for name in names
        for value in ODD
        if name != b"Host"
    ]
    if b"Host" in names:
        whole = request("POST", "/predict", body=GOOD)
        sent += [whole.replace(b"127.0.0.1", value, 1) for value in ODD]

    async def act(server: Server) -> list[int]:
        return await _send(server, sent * times)

    return act


async def _traces(server: Server) -> list[int]:
    """Traces whose bytes are not UTF-8, into the same batches as the others' requests."""
    data = request("POST", "/predict", b"traceparent: \xff\xfe", body=GOOD)
    return await _send(server, [data] * 300)


async def _names(server: Server) -> list[int]:
    """File names, field names and models' names that are strange."""
    sent = []
    for odd in ODD:
        quoted = odd.replace(b'"', b"")
        for field, name in ((b"file", quoted), (quoted, b"a.wav")):
            part = b'--x\r\nContent-Disposition: form-data; name="%s"; filename="%s"\r\n\r\nRIFF'
            body = part % (field, name) + b"\r\n--x--\r\n"
            kind = "Content-Type: multipart/form-data; boundary=x"
            sent += [
                request("POST", path, kind, body=body)
                for path in ("/audio/validate", "/transcribe")
            ]
        text = json.dumps(odd.decode("utf-8", "surrogateescape")).encode()
        for name in (b'"' + odd.replace(b'"', b"") + b'"', text):
            body = b'{"model_name":%s,"inputs":[0,1,2,3]}' % name
            sent.append(request("POST", "/predict", body=body))
        sent.append(request("GET", b"/models/" + b"".join(b"%%%02X" % byte for byte in odd)))
    return await _send(server, sent)


async def _unparsable(server: Server) -> list[int]:
    return await _send(server, UNPARSABLE)


async def _forge(server: Server) -> list[int]:
    """Failing inputs, whose traces are logged, with lines that TorchServe takes for a worker's."""
    sent = [
        request("POST", "/predict", f"{name}: {value}", body=RAISES)
        for name in ("traceparent", "X-Request-ID", "Origin")
        for value in FORGED
    ]
    statuses = await _send(server, sent)
    real = {worker.pid for worker in await asyncio.to_thread(server.workers)}
    told = await _pids_told_by_torchserve(server)
    assert told <= real, f"TorchServe believes that its workers are {told}; they are {real}"
    return statuses


async def _pids_told_by_torchserve(server: Server) -> set[int]:
    """The worker processes of the model `faulty`, as the management API has them."""
    folder = await asyncio.to_thread(server.torchserve_folder)
    urls = [f"unix:{folder}/{api}.sock" for api in ("inference", "management", "metrics")]
    keys = KeyFile(folder / "work" / "key_file.json")
    async with TorchServeClient(urls[0], urls[1], urls[2], keys) as client:
        model = await client.describe("faulty")
    assert model is not None
    return {worker.pid for worker in model.ready}


ATTACKS: Sequence[Attack] = (
    Attack("traces that are not UTF-8 in others' batches", _traces, attackers_see=OK | REFUSED),
    Attack(
        "strange bytes in headers that are passed on or echoed",
        _with_headers(ECHOED),
        attackers_see=OK | REFUSED,
    ),
    Attack(
        "strange bytes in other headers",
        _with_headers(READ),
        attackers_see=OK | REFUSED,
        quick=False,
    ),
    Attack("strange names of files, fields and models", _names, attackers_see=OK | REFUSED),
    Attack("lines forged in a worker's output", _forge, attackers_see=REFUSED | {500}),
    Attack("requests that are not HTTP", _unparsable, attackers_see=REFUSED | {501, 505}),
)
