"""Multipart bodies: what they may hold, and what a malformed one costs."""

import asyncio
import gzip
import io
import wave
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sidecar.settings import MB
from tests.sidecar.conftest import Client, StartSidecar
from tests.sidecar.web.test_bodies import longest_stall, refusal
from tests.sidecar.web.test_refusals_by_limits import bearer

BOUNDARY = "XyZ"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def part(name: str, content: bytes, *, file: str | None = None, headers: str = "") -> bytes:
    named = f'form-data; name="{name}"' + (f'; filename="{file}"' if file else "")
    head = f"--{BOUNDARY}\r\nContent-Disposition: {named}\r\n{headers}\r\n".encode()
    return head + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def sound(seconds: float = 0.2) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, 16000, 0, "NONE", ""))
        writer.writeframes(bytes(2 * int(16000 * seconds)))
    return file.getvalue()


async def in_pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize("size", [1, 7, 100, 1 << 16])
async def test_a_form_is_read_however_it_is_cut(client: Client, size: int) -> None:
    body = form(part("check_integrity", b"true"), part("file", sound(), file="a b.wav"))
    response = await client.post("/audio/validate", data=in_pieces(body, size), headers=FORM)
    answer = await response.json()
    assert (response.status, answer["valid"], answer["duration"]) == (200, True, 0.2)
    assert (answer["file_path"], answer["size_bytes"]) == ("a b.wav", len(sound()))


async def test_an_encoded_form_is_415_and_says_that_forms_are_sent_plain(client: Client) -> None:
    body = gzip.compress(form(part("file", sound())))
    headers = FORM | {"Content-Encoding": "gzip"}
    response = await client.post("/audio/validate", data=body, headers=headers)
    assert await refusal(response) == (415, "Content-Encoding: expected identity or none")
    assert response.headers["Accept-Encoding"] == "identity"


async def test_a_file_may_come_as_audio_and_errors_say_so(client: Client) -> None:
    """Who does not know the field's name tries this one."""
    body = form(part("check_integrity", b"true"), part("audio", sound(), file="a.wav"))
    response = await client.post("/audio/validate", data=body, headers=FORM)
    answer = await response.json()
    assert (response.status, answer["valid"], answer["duration"]) == (200, True, 0.2)
    body = form(part("audio", b"no audio", file="a.wav"))
    response = await client.post("/audio/validate", data=body, headers=FORM)
    assert (await response.json())["error"].startswith("audio: expected one of: wav, ")


BELONGS = "the audio belongs in the field file, as a file"
MISPLACED: dict[str, tuple[bytes, str]] = {
    "no file": (form(part("check_integrity", b"true")), "file: needs the audio file"),
    "a file under another name": (
        form(part("recording", sound(5), file="a.wav")),
        f"recording: not the field of a file; {BELONGS}",
    ),
    "a file in the field of JSON": (
        form(part("inputs", sound(), file="a.wav")),
        f"inputs: not the field of a file; {BELONGS}",
    ),
    "base64 in the field of JSON": (
        form(part("inputs", b"AAAA")),
        f"inputs: in a form, {BELONGS}",
    ),
    "a large file in a field of text": (
        form(part("token", b"a" * 70_000, file="a.wav")),
        f"token: at most 65536 bytes of text; {BELONGS}",
    ),
    "a large text": (
        form(part("token", b"a" * 70_000)),
        "token: at most 65536 bytes of text",
    ),
    "a file in a field of text": (
        form(part("token", b"\xff", file="a.wav")),
        f"token: expected text in UTF-8; {BELONGS}",
    ),
    "two files": (
        form(part("file", sound(), file="a.wav"), part("file", sound(), file="b.wav")),
        "file: a second file; expected one in each request",
    ),
    "two files under two names": (
        form(part("file", sound(), file="a.wav"), part("audio", sound(), file="b.wav")),
        "audio: a second file; expected one in each request",
    ),
    "an unknown field": (
        form(part("file", sound(), file="a.wav"), part("chek", b"true")),
        "chek: Object contains unknown field `chek`",
    ),
}


@pytest.mark.parametrize("name", MISPLACED)
async def test_a_misplaced_file_is_told_its_field(client: Client, name: str) -> None:
    body, said = MISPLACED[name]
    response = await client.post("/audio/validate", data=body, headers=FORM)
    assert (await refusal(response))[1] == said


@pytest.mark.parametrize("route", ["/transcribe", "/v1/audio/transcriptions"])
async def test_every_route_that_takes_a_file_tells_where_it_belongs(
    client: Client, route: str
) -> None:
    body = form(part("recording", sound(5), file="a.wav"))
    response = await client.post(route, data=body, headers=FORM)
    assert f"recording: not the field of a file; {BELONGS}" in await response.text()


async def test_a_path_in_place_of_a_file_is_told_from_audio(client: Client) -> None:
    """As by `curl -F file=clip.wav`, without the @."""
    for text, is_text in ((b"clip.wav", True), ("zwölf".encode() * 20, True), (b"\0\1", False)):
        body = form(part("file", text))
        response = await client.post("/audio/validate", data=body, headers=FORM)
        error = (await response.json())["error"]
        assert ("; this is text" in error) is is_text, text


async def test_a_body_that_is_no_form_is_told_how_a_file_is_sent(client: Client) -> None:
    """As by `curl --data-binary @clip.wav`, or `curl -d file=@clip.wav`."""
    told = "; a file is sent as multipart/form-data, in the field file"
    for body, is_told in ((sound(), True), (b"file=@clip.wav", True), (b'{"inputs": ', False)):
        response = await client.post("/transcribe", data=body)
        status, detail = await refusal(response)
        assert (status, told in detail) == (400, is_told)


MALFORMED: dict[str, tuple[bytes, int]] = {
    "nothing at all": (b"", 400),
    "no boundary": (b"a" * 5000, 400),
    "newlines first": (b"\r\n" * 1_000_000 + form(part("file", sound())), 400),
    "cut in a part": (form(part("file", sound()))[:-30], 400),
    "cut in a header": (form(part("file", sound()))[:20], 400),
    "no name": (form(b"--XyZ\r\nContent-Disposition: form-data\r\n\r\nx\r\n"), 400),
    "no disposition": (form(b"--XyZ\r\nA: b\r\n\r\nx\r\n"), 400),
    "a name that no field can have": (form(part("ä\u2028", b"x")), 400),
    "a header without end": (form(part("file", b"x", headers="A: " + "b" * 100_000 + "\r\n")), 400),
    "many headers": (form(part("file", b"x", headers="A: b\r\n" * 1000)), 400),
    "a header that is not UTF-8": (b"--XyZ\r\n\xff: \xff\r\n\r\nx\r\n--XyZ--", 400),
    "a field that is not UTF-8": (form(part("language", b"\xff")), 400),
    "a long field": (form(part("language", b"x" * 70_000)), 422),
    "a field twice": (form(part("language", b"en"), part("language", b"en")), 422),
    "two files": (form(part("file", b"x"), part("file", b"x")), 422),
    "an unknown field": (form(part("nonsense", b"x"), part("file", sound())), 422),
    "no file": (form(part("language", b"en")), 422),
    "many empty fields": (form(*(part(f"f{n}", b"") for n in range(100_000))), 422),
    "the same empty field": (form(part("a", b"") * 100_000), 422),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_form_is_refused_and_holds_up_nobody(client: Client, name: str) -> None:
    body, status = MALFORMED[name]
    stall = asyncio.create_task(longest_stall())
    response = await client.post("/transcribe", data=in_pieces(body, 1 << 16), headers=FORM)
    stall.cancel()
    assert (await refusal(response))[0] == status
    assert await stall < 0.1


@pytest.mark.parametrize("value", ["", "; boundary=", "; boundary=" + "x" * 71, "; boundary=é"])
async def test_a_boundary_that_none_can_be_is_400(client: Client, value: str) -> None:
    headers = {"Content-Type": f"multipart/form-data{value}"}
    response = await client.post("/transcribe", data=form(part("file", b"x")), headers=headers)
    status, detail = await refusal(response)
    assert status == 400
    assert detail.startswith(("Content-Type: ", "body: "))


@pytest.mark.parametrize(
    ("name", "shown"),
    [("../../etc/passwd", "../../etc/passwd"), ("a\u2028b\x07.wav", "ab.wav"), ("ü.wav", "ü.wav")],
)
async def test_a_file_name_is_shown_without_what_cannot_be_printed(
    client: Client, name: str, shown: str
) -> None:
    body = form(part("file", sound(), file=name))
    response = await client.post("/audio/validate", data=body, headers=FORM)
    assert (await response.json())["file_path"] == shown


async def test_a_required_token_must_precede_a_large_file(
    start: StartSidecar,
) -> None:
    client = await start(require_authentication=True)
    token = part("token", bearer("ada")["Authorization"].removeprefix("Bearer ").encode())
    file = part("file", sound(100))

    async def post(body: bytes, **headers: str) -> tuple[int, Any]:
        data = in_pieces(body, 1 << 16)
        response = await client.post("/audio/validate", data=data, headers=FORM | headers)
        return response.status, await response.json()

    assert (await post(form(token, file)))[0] == 200
    assert (await post(form(file), **bearer("ada")))[0] == 200
    for body in (form(file), form(file, token), form(part("token", b"wrong"), file)):
        assert (await post(body))[0] == 401


async def test_uploads_count_as_bodies_until_their_request_ends(
    start: StartSidecar,
) -> None:
    client = await start(max_received_mb=4)
    body = form(part("file", bytes(3 * MB)))
    response = await client.post("/audio/validate", data=in_pieces(body, 1 << 16), headers=FORM)
    assert response.status == 503
    smaller = form(part("file", bytes(MB)))
    for _ in range(4):
        data = in_pieces(smaller, 1 << 16)
        assert (await client.post("/audio/validate", data=data, headers=FORM)).status == 200
