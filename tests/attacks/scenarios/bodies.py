"""Bodies that cost more than they weigh: forms, compression, JSON."""

import asyncio
import gzip
import json
import zlib
from collections.abc import Callable, Sequence

from sidecar.routes.groups import ROUTES
from tests.attacks.attack import MIB, OK, REFUSED, Act, Attack
from tests.attacks.error_format import fault_of_error
from tests.attacks.raw_http import Answer, exchange, request
from tests.integration.server import Server

FORM = "Content-Type: multipart/form-data; boundary=x"
JSON = "Content-Type: application/json"
FORM_ROUTES = [route.path for route in ROUTES if route.form]
POSTS = [
    route.path.replace("{name}", "faulty").replace("{id}", "nothing")
    for route in ROUTES
    if route.method == "POST"
]
LARGE = 60 * MIB
CHUNKS = 1_000_000
BODY_MIB = 128  # what is inflated may fill a whole body of 64 MB before it is refused


def _empty_fields(count: int) -> bytes:
    part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'
    return part * count + b"--x--\r\n"


def _newlines(count: int) -> bytes:
    return b"\r\n" * count + _empty_fields(1)


def _many_headers(count: int) -> bytes:
    lines = b"".join(b"X-%d: a\r\n" % number for number in range(count))
    return b"--x\r\n" + lines + b'Content-Disposition: form-data; name="a"\r\n\r\n\r\n--x--\r\n'


def _endless_line(count: int) -> bytes:
    return b"--x\r\nX-A: " + b"a" * count + b"\r\n\r\n\r\n--x--\r\n"


def _nested(depth: int) -> bytes:
    """Forms within forms: each of its parts is one itself."""
    opening = (
        b"--%d\r\nContent-Type: multipart/mixed; boundary=%d\r\n\r\n" % (each, each + 1)
        for each in range(depth)
    )
    return b"--x\r\nContent-Type: multipart/mixed; boundary=0\r\n\r\n" + b"".join(opening)


def _form(make: Callable[[int], bytes], count: int, *, encoding: str = "") -> Act:
    """Send a form to every route that takes one; with *encoding*, compressed."""
    headers = [FORM, f"Content-Encoding: {encoding}"] if encoding else [FORM]

    def body() -> bytes:
        plain = make(count)
        return _compressed(plain, encoding) if encoding else plain

    return _post(FORM_ROUTES, body, headers)


def _compressed(plain: bytes, encoding: str) -> bytes:
    return gzip.compress(plain) if encoding == "gzip" else zlib.compress(plain)


def _bomb(encoding: str, path: str, unpacked: int) -> Act:
    """A body that becomes *unpacked* bytes."""

    def body() -> bytes:
        packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
        zeros = bytes(MIB)
        block = packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)  # may be repeated
        blocks = block * (unpacked // MIB) + packer.flush()
        check = zlib.crc32 if encoding == "gzip" else zlib.adler32
        value = check(b"")
        for _ in range(unpacked // MIB):
            value = check(zeros, value)
        if encoding == "gzip":
            trailer = value.to_bytes(4, "little") + (unpacked & 0xFFFFFFFF).to_bytes(4, "little")
            return b"\x1f\x8b\x08\0\0\0\0\0\x02\xff" + blocks + trailer
        return b"\x78\xda" + blocks + value.to_bytes(4, "big")

    return _post([path], body, [JSON, f"Content-Encoding: {encoding}"])


def _post(paths: Sequence[str], make: Callable[[], bytes], headers: Sequence[str] = (JSON,)) -> Act:
    """Send what *make* makes to each of *paths*, one after another."""

    async def act(server: Server) -> list[int]:
        body = await asyncio.to_thread(make)
        answers = [
            await exchange(server.port, request("POST", path, *headers, body=body))
            for path in paths
        ]
        return _statuses(answers)

    return act


def _statuses(answers: Sequence[Answer]) -> list[int]:
    """Each answer's status; a refusal has to be in the one format."""
    for answer in answers:
        fault = fault_of_error(answer) if answer.status >= 400 else ""
        assert not fault, fault
    return [answer.status for answer in answers]


async def _lie(server: Server) -> list[int]:
    """Every POST route gets bodies that are not what Content-Encoding says."""
    whole = gzip.compress(b'{"model_name":"faulty","inputs":[0,1,2,3]}')
    lies = [
        ("gzip", b"{}"),
        ("deflate", b"{}"),
        ("br", b"{}"),
        ("zstd", b"{}"),
        ("gzip", b""),
        ("gzip", whole[:-9]),
        ("gzip", whole[:20] + b"\0\0\0" + whole[23:]),
        ("gzip, gzip", whole),
        ("nonsense", b"{}"),
        ("identity, gzip", b"{}"),
    ]
    answers = [
        await exchange(
            server.port, request("POST", path, JSON, f"Content-Encoding: {name}", body=body)
        )
        for path in POSTS
        for name, body in lies
    ]
    return _statuses(answers)


def _inputs(item: str, last: str = "") -> Callable[[int], bytes]:
    """A /predict body of *count* times *item*, then *last*."""

    def make(count: int) -> bytes:
        items = ",".join([item] * count + ([last] if last else []))
        return f'{{"model_name":"faulty","inputs":[{items}]}}'.encode()

    return make


def _growing(make: Callable[[int], bytes], *counts: int) -> Act:
    async def act(server: Server) -> list[int]:
        statuses = []
        for count in counts:
            statuses += await _post(["/predict"], lambda: make(count))(server)  # noqa: B023
        return statuses

    return act


def _filled(make: Callable[[int], bytes], size: int) -> Callable[[], bytes]:
    """*make* with as many items as fill *size* bytes."""
    each = (len(make(1010)) - len(make(10))) / 1000
    return lambda: make(int(size / each) - 10)


def _objects(count: int) -> bytes:
    return b"[" + b",".join([b"{}"] * count) + b"]"


def _keys(count: int) -> bytes:
    items = ",".join(f'"{number}":0' for number in range(count))
    return f'{{"model_name":"faulty","inputs":{{{items}}}}}'.encode()


def _deep(count: int) -> bytes:
    return b'{"model_name":"faulty","inputs":' + b"[" * count


def _digits(count: int) -> bytes:
    return b'{"model_name":"faulty","inputs":[' + b"1" * count + b"]}"


def _escapes(count: int) -> bytes:
    return b'{"model_name":"faulty","inputs":"' + b"\\u0001" * count + b'"}'


def _spaces(count: int) -> bytes:
    return b'{"model_name":"faulty","inputs":' + b" " * count + b"1}"


def _text(field: str) -> Callable[[int], bytes]:
    return lambda count: json.dumps({field: "é" * count}, ensure_ascii=False).encode()


def _base64(count: int) -> bytes:
    return b'{"inputs":"data:audio/wav;base64,' + b"UklGR" * count + b'"}'


async def _one_byte_chunks(server: Server) -> list[int]:
    """A good body, spaces before it, in a million chunks of a byte."""
    head = request("POST", "/predict", JSON, "Transfer-Encoding: chunked")
    good = b'{"model_name":"faulty","inputs":[0,1,2,3]}'
    chunks = b"1\r\n \r\n" * CHUNKS + b"%x\r\n%s\r\n0\r\n\r\n" % (len(good), good)
    return _statuses([await exchange(server.port, head + chunks)])


TOO_MUCH = 4 * LARGE / MIB  # a request may take four times its body
ONE_OF_THESE = REFUSED | OK
_SHAPES: Sequence[tuple[str, Callable[[int], bytes]]] = (
    ("empty strings", _inputs('""')),
    ("empty lists", _inputs("[]")),
    ("empty objects", _inputs("{}")),
    ("single numbers", _inputs("0")),
    ("lists of one number", _inputs("[0]")),
    ("keys", _keys),
    ("digits of one number", _digits),
    ("escapes of one string", _escapes),
    ("spaces", _spaces),
    ("brackets that never close", _deep),
)
QUICK_SHAPES = {"empty strings"}
ATTACKS: Sequence[Attack] = (
    Attack("100,000 empty fields, gzipped", _form(_empty_fields, 100_000, encoding="gzip")),
    Attack(
        "100,000 empty fields",
        _form(_empty_fields, 100_000),
        quick=False,
    ),
    Attack(
        "millions of newlines before a form, gzipped",
        _form(_newlines, 2_500_000, encoding="gzip"),
    ),
    Attack(
        "millions of newlines before a form",
        _form(_newlines, 2_500_000),
        peak_mib=128,
        quick=False,
    ),
    Attack("a form's part with 100,000 headers", _form(_many_headers, 100_000)),
    Attack(
        "a form's part with a header of 30 MB",
        _form(_endless_line, 30 * MIB),
        quick=False,
    ),
    Attack(
        "1,000 forms within each other",
        _form(_nested, 1000),
        quick=False,
    ),
    Attack("2 MB of gzip that hold 2 GB", _bomb("gzip", "/predict", 2048 * MIB), peak_mib=BODY_MIB),
    Attack(
        "2 MB of deflate that hold 2 GB",
        _bomb("deflate", "/synthesize", 2048 * MIB),
        peak_mib=BODY_MIB,
        quick=False,
    ),
    Attack(
        "2 MB of gzip to a route for admins",
        _bomb("gzip", "/models/faulty/load", 2048 * MIB),
        peak_mib=BODY_MIB,
        quick=False,
    ),
    Attack("bodies that are not what Content-Encoding says", _lie),
    Attack(
        "numbers, and then a list among them",
        _growing(_inputs("1", "[1]"), 1_000, 10_000, 40_000, 100_000, 500_000, 2_000_000),
    ),
    Attack(
        "numbers, and then no number",
        _growing(_inputs("1.5e-3", '"a"'), 1_000, 40_000, 500_000, 2_000_000),
        quick=False,
    ),
    Attack(
        "a body in a million chunks of a byte",
        _one_byte_chunks,
        attackers_see=OK | REFUSED,
        quick=False,
    ),
    *(
        Attack(
            f"60 MiB of {name} for a model",
            _post(["/predict"], _filled(make, LARGE)),
            attackers_see=ONE_OF_THESE,
            peak_mib=TOO_MUCH,
            quick=name in QUICK_SHAPES,
        )
        for name, make in _SHAPES
    ),
    Attack(
        "60 MiB of empty objects to a route for admins",
        _post(["/models/download"], _filled(_objects, LARGE)),
        peak_mib=TOO_MUCH,
    ),
    Attack(
        "60 MiB of keys to a route for admins",
        _post(["/models/faulty/load"], _filled(_keys, LARGE)),
        peak_mib=TOO_MUCH,
        quick=False,
    ),
    Attack(
        "60 MiB of text to speak",
        _post(["/synthesize"], _filled(_text("text"), LARGE)),
        peak_mib=TOO_MUCH,
        quick=False,
    ),
    Attack(
        "60 MiB of base64 to be checked",
        _post(["/audio/validate", "/transcribe"], _filled(_base64, LARGE)),
        attackers_see=ONE_OF_THESE,
        peak_mib=TOO_MUCH,
        quick=False,
    ),
)
