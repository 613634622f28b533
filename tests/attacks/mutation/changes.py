"""What is done to a good request: to its fields and parts, to its body's bytes, to its head."""

import base64
import copy
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

from tests.attacks.mutation.draft import Draft, Part

Change = Callable[[random.Random, Draft], None]

ODD_VALUES: Sequence[Any] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63,
    2**64,
    -(2**63),
    10**400,
    1e308,
    -0.0,
    1e-320,
    "",
    " ",
    "a",
    "\0",
    "\ud800",
    "\u2028",
    "\ufeff",
    "﷽" * 100,
    "%s%n{}$()`",
    "../../etc/passwd",
    "a" * 300,
    "é" * 6000,
    "http://[",
    "data:audio/wav;base64,",
    "data:image/png;base64,AAAA",
    [],
    {},
    [[]],
    [None],
    [[1], 2],
    ["a", 1],
    {"": ""},
    {"token": 1},
    [1.5] * 2000,
    ["a"] * 2000,
)
ODD_NUMBERS = (
    b"1e999",
    b"-1e999",
    b"1e-999",
    b"NaN",
    b"Infinity",
    b"-",
    b"01",
    b"0x10",
    b"1_0",
    b"+1",
    b"9" * 400,
    b"0." + b"9" * 400,
    b"1.",
    b".5",
    b"1e",
    b"-0",
    b"18446744073709551616",
)
ODD_BYTES = (
    b"\xff",
    b"\xfe\xff",
    b"\xed\xa0\x80",
    b"\xc0\x80",
    b"\xf4\x90\x80\x80",
    b"\0",
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    "\u2028".encode(),
    "\x85".encode(),
    b'"',
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"--limit",
    b"--limit--",
    b"{",
    b"[",
    b"}",
    b"]",
    b",",
    b"%00",
    b"%ff",
    b"%",
    b"\t",
    b"\x7f",
)
HEADER_NAMES = (
    b"traceparent",
    b"tracestate",
    b"Origin",
    b"Host",
    b"X-Request-ID",
    b"X-Forwarded-For",
    b"Authorization",
    b"X-API-Key",
    b"Accept",
    b"Content-Type",
    b"Content-Encoding",
    b"Cookie",
    b"Range",
    b"If-None-Match",
    b"If-Modified-Since",
    b"Accept-Encoding",
    b"Content-Language",
    b"Access-Control-Request-Method",
    b"Content-Disposition",
    b"Upgrade",
    b"Expect",
    b"Forwarded",
    b"X-HTTP-Method-Override",
    b"Via",
    b"Referer",
    b"User-Agent",
    b"Date",
    b"X-A",
    b"Prefer",
)
HEADER_VALUES = (
    b"",
    b"*",
    b"null",
    b"http://[",
    b"http://a:b",
    b"http://\xe2\x84\x80",
    b"//",
    b"a" * 7000,
    b"\xff\xfe",
    b"\x80",
    "\u2028[PID]1".encode(),
    b"text/html",
    b"audio/*",
    b"audio/x;q=a",
    b"application/json; charset=utf-7",
    b"application/json; charset=nonsense",
    b"a; b=\xff",
    b"multipart/form-data",
    b"multipart/form-data; boundary=",
    b"multipart/mixed; boundary=x",
    b"multipart/form-data; boundary=" + b"x" * 200,
    b'multipart/form-data; boundary="',
    b"Bearer",
    b"Bearer \xff",
    b"Bearer a.b.c",
    b"Basic YTpi",
    b"bytes=0-",
    b"gzip",
    b"identity",
    b"br",
    b"deflate, gzip",
    b"websocket",
    b"100-continue",
    b"00-0-0-0",
    b"=?utf-8?q?=ff?=",
)
METHODS = (b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"M-SEARCH", b"get")
TARGET_PIECES = (
    b"%00",
    b"%ff",
    b"%2e%2e/",
    b"../",
    b"//",
    b"?",
    b"?a=b",
    b"&lines=-1",
    b"&hours=nan",
    b"%",
    b"?force=maybe",
    b"&limit=99999999999999999999",
    b"#a",
    b";",
    b"\xff",
    b"%E2%80%A8",
    b"[",
    b"@",
    b"a" * 3000,
    b"%F0%9F%98%80",
    b"?token=\xff",
    b"?" + b"a=b&" * 500,
    b"%0d%0aX-A:%20b",
)


def one_field(chance: random.Random, draft: Draft) -> None:
    """One value, at any depth, becomes an odd one."""
    place = _some_place(chance, draft.fields)
    if place is None:
        draft.fields = _odd_value(chance)
    else:
        container, key = place
        container[key] = _odd_value(chance)


def _odd_value(chance: random.Random) -> Any:
    """One of its own: a later change may go into it."""
    return copy.deepcopy(chance.choice(ODD_VALUES))


def _some_place(chance: random.Random, value: Any) -> tuple[Any, Any] | None:
    """A container within *value* and a key of it; None where there is none."""
    if not value or not isinstance(value, dict | list):
        return None
    key = chance.choice(list(value)) if isinstance(value, dict) else chance.randrange(len(value))
    return (chance.random() < 0.5 and _some_place(chance, value[key])) or (value, key)


def drop_or_add_field(chance: random.Random, draft: Draft) -> None:
    if not isinstance(draft.fields, dict):
        return
    if draft.fields and chance.random() < 0.5:
        del draft.fields[chance.choice(list(draft.fields))]
    else:
        names = ["token", "mischief", "", "\u2028", "__class__", "inputs", "text", "model_name"]
        draft.fields[chance.choice(names)] = _odd_value(chance)


def nest(chance: random.Random, draft: Draft) -> None:
    """Put a value into many lists or objects."""
    depth = chance.choice([10, 100, 900, 5000, 100_000])
    opening, closing = chance.choice([(b"[", b"]"), (b'{"a":', b"}")])
    draft.encode_body()
    whole = opening * depth + b"1" + closing * depth
    draft.body = re.sub(rb":[^,}\[{]+", lambda _: b":" + whole, draft.body or b"", count=1)


def odd_number(chance: random.Random, draft: Draft) -> None:
    """Write one number as JSON does not, or as nobody does."""
    draft.encode_body()
    found = list(re.finditer(rb"(?<=[:,\[])\s*-?\d[\d.eE+-]*", draft.body or b""))
    if found:
        start, end = chance.choice(found).span()
        body = draft.body or b""
        draft.body = body[:start] + chance.choice(ODD_NUMBERS) + body[end:]


def repeat_field(_: random.Random, draft: Draft) -> None:
    """Send every field twice, in one object."""
    draft.encode_body()
    if draft.body and draft.body[:1] == b"{" and draft.body != b"{}":
        draft.body = draft.body[:-1] + b"," + draft.body[1:]


def damage_data(chance: random.Random, draft: Draft) -> None:
    """Change bytes of the audio or the picture that is in the request."""
    if draft.parts:
        draft.parts[-1].content = _damaged(chance, draft.parts[-1].content)
    elif isinstance(draft.fields, dict):
        for key, value in draft.fields.items():
            if isinstance(value, str) and value.startswith("data:"):
                kind, _, text = value.partition(",")
                data = _damaged(chance, base64.b64decode(text))
                draft.fields[key] = f"{kind},{base64.b64encode(data).decode()}"


def _damaged(chance: random.Random, data: bytes) -> bytes:
    """*data* with other bytes, most of them at its beginning, or cut, or with a piece twice."""
    way = chance.randrange(4)
    if way == 0:
        return data[: chance.randrange(len(data) + 1)]
    if way == 1:
        start, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
        return data[:end] + data[start:]
    changed = bytearray(data)
    for _ in range(chance.choice([1, 3, 20])):
        reach = chance.choice([64, 512, len(changed)])
        if reach and changed:
            at = chance.randrange(min(reach, len(changed)))
            changed[at] = chance.choice(
                [0, 0xFF, 0x7F, 0x80, changed[at] ^ 1 << chance.randrange(8)]
            )
    return bytes(changed)


def change_parts(chance: random.Random, draft: Draft) -> None:
    """Leave parts out, send them twice, in another order, many times."""
    parts = draft.parts
    if not parts:
        return
    way = chance.randrange(5)
    if way == 0:
        del parts[chance.randrange(len(parts))]
    elif way == 1:
        parts.append(chance.choice(parts))
    elif way == 2:
        chance.shuffle(parts)
    elif way == 3:
        parts[:0] = [Part(b'Content-Disposition: form-data; name="a"', b"b")] * 500
    else:
        parts[chance.randrange(len(parts))].content = chance.choice(ODD_BYTES) * 100


def change_part_head(chance: random.Random, draft: Draft) -> None:
    """Strange names, and headers that a part has not got otherwise."""
    if not draft.parts:
        return
    part, odd = chance.choice(draft.parts), chance.choice(ODD_BYTES + HEADER_VALUES)
    name = odd.replace(b"\r", b"").replace(b"\n", b"")
    part.head = chance.choice(
        [
            b"",
            b"nonsense",
            odd,
            b"Content-Disposition: form-data",
            b'Content-Disposition: form-data; name="' + name + b'"; filename="a"',
            b'Content-Disposition: form-data; name="file"; filename="' + name + b'"',
            b"Content-Disposition: form-data; name=file; filename*=" + name,
            b"Content-Disposition: form-data; name=file; filename*=utf-8''%ff%fe",
            b'Content-Disposition: attachment; name="file"; name="file"',
            part.head + b"\r\nContent-Type: " + name,
            part.head
            + b"\r\nContent-Transfer-Encoding: "
            + chance.choice([b"base64", b"quoted-printable", b"binary", b"nonsense"]),
            part.head + b"\r\nContent-Encoding: " + chance.choice([b"gzip", b"br", b"nonsense"]),
            part.head + b"\r\nContent-Length: " + chance.choice([b"0", b"-1", b"a", b"99999999"]),
            part.head + b"\r\nContent-Type: multipart/mixed; boundary=b",
            part.head + b"\r\nX: y" * 200,
        ]
    )


def change_boundary(chance: random.Random, draft: Draft) -> None:
    """The boundary that the head names is not the one in the body, or a strange one."""
    if draft.parts is None:
        return
    draft.encode_body()
    named = chance.choice([b"other", b"lim", b'"limit"', b"limit ", b"", b"a" * 71, b"\xff", b"'"])
    draft.headers[-1] = b"Content-Type: multipart/form-data; boundary=" + named


def change_bytes(chance: random.Random, draft: Draft) -> None:
    """Some bytes of the body become others."""
    draft.encode_body()
    body = bytearray(draft.body or b"")
    for _ in range(chance.choice([1, 2, 8]) if body else 0):
        at = chance.randrange(len(body))
        body[at : at + chance.randrange(2)] = chance.choice(
            [*ODD_BYTES, bytes([chance.randrange(256)])]
        )
    draft.body = bytes(body)


def cut_body(chance: random.Random, draft: Draft) -> None:
    """The body ends early; its length is right."""
    draft.encode_body()
    if draft.body:
        draft.body = draft.body[: chance.randrange(len(draft.body))]


def other_body(chance: random.Random, draft: Draft) -> None:
    draft.encode_body()
    draft.body = chance.choice(
        [b"", b"null", b"[]", b"0", b'""', b"\xef\xbb\xbf{}", b" " * 5000, chance.randbytes(500)]
    )


def add_header(chance: random.Random, draft: Draft) -> None:
    """One more header, or another value for one that is there."""
    name, value = chance.choice(HEADER_NAMES), chance.choice(HEADER_VALUES + ODD_BYTES[:6])
    value = value.replace(b"\r", b"").replace(b"\n", b"")
    if chance.random() < 0.5:
        draft.headers = [each for each in draft.headers if not each.startswith(name)]
    draft.headers.append(name + b": " + value)


def drop_header(chance: random.Random, draft: Draft) -> None:
    if draft.headers:
        del draft.headers[chance.randrange(len(draft.headers))]


def change_target(chance: random.Random, draft: Draft) -> None:
    at = chance.randrange(1, len(draft.target) + 1)
    draft.target = draft.target[:at] + chance.choice(TARGET_PIECES) + draft.target[at:]


def change_method(chance: random.Random, draft: Draft) -> None:
    draft.method = chance.choice(METHODS)


ON_FIELDS = (one_field, one_field, drop_or_add_field, damage_data)
ON_PARTS = (change_parts, change_part_head, change_part_head, damage_data, damage_data)
ON_BODY = (nest, odd_number, repeat_field, change_bytes, change_bytes, cut_body, other_body)
ON_FORM = (change_boundary, change_bytes, cut_body)
ON_HEAD = (add_header, add_header, drop_header, change_target, change_method)


def change(chance: random.Random, draft: Draft) -> None:
    """Change *draft* once or several times, from the inside to the outside."""
    stages: list[tuple[Change, ...]] = [ON_HEAD]
    if draft.parts is not None:
        stages = [ON_PARTS, ON_PARTS, ON_FORM, ON_HEAD]
    elif draft.fields is not None:
        stages = [ON_FIELDS, ON_FIELDS, ON_BODY, ON_HEAD]
    changed = False
    for stage in stages:
        if chance.random() < 0.4:
            chance.choice(stage)(chance, draft)
            changed = True
    if not changed:
        chance.choice(stages[0])(chance, draft)
    draft.encode_body()
