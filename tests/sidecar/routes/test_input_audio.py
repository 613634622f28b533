"""Audio inside JSON: base64 in every form that clients write it in."""

import base64
import json
import random
from typing import Any

import pytest

from sidecar.errors import InvalidFields, InvalidInput
from sidecar.routes.input_audio import inline_audio

DATA = random.Random(7).randbytes(3_000_000)
TEXT = base64.b64encode(DATA).decode()


async def here(work: Any, *args: Any) -> Any:
    return work(*args)


async def read(value: bytes) -> bytes:
    upload = await inline_audio(value, "inputs", here)
    data = upload.file.read()
    assert upload.size == len(data)
    return data


@pytest.mark.parametrize(
    "text",
    [
        f'"{TEXT}"',
        f'"data:audio/wav;base64,{TEXT}"',
        f'"data:;base64,{TEXT}"',
        f'"data:audio/ogg;codecs=opus;base64,{TEXT}"',
        json.dumps("\n".join(TEXT[n : n + 76] for n in range(0, len(TEXT), 76))),
        json.dumps("\r\n".join(TEXT[n : n + 64] for n in range(0, len(TEXT), 64)) + "\r\n"),
        json.dumps(f"data:audio/wav;base64,{TEXT}").replace("/", "\\/"),
        f'"{TEXT}"'.replace("+", "\\u002B").replace("/", "\\u002f"),
        f'"DATA:Audio/WAV;Base64,{TEXT}"',
        f'"{base64.urlsafe_b64encode(DATA).decode()}"',
    ],
    ids=[
        "plain",
        "uri",
        "no type",
        "parameters",
        "lines",
        "mail",
        "escaped",
        "all escaped",
        "capitals",
        "of addresses",
    ],
)
async def test_each_form_is_the_same_file(text: str) -> None:
    assert await read(text.encode()) == DATA


@pytest.mark.parametrize("size", range(7))
async def test_each_length_is_read(size: int) -> None:
    assert await read(json.dumps(base64.b64encode(DATA[:size]).decode()).encode()) == DATA[:size]


@pytest.mark.parametrize(
    "text",
    [
        "/etc/passwd",
        "http://x/y.wav",
        "data:audio/wav,abc",
        "QUJ",
        "QUJD=",
        "QQ==QUJD",
        "Q=JD",
        "QUJDQ",
        "QUJD\\",
        "QUJD\u2028",
        "Ä",
        TEXT + "QQ==" + TEXT,
        "=" * 8,
    ],
)
async def test_anything_else_is_refused_by_the_fields_name(text: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        await read(json.dumps(text).encode())
    assert refusal.value.detail.startswith("inputs: expected data:audio/")


@pytest.mark.parametrize("value", [b'"QUJD\xc0\x80QUJD"', b'"QUJD\\/\xc0QUJD"', b'"\xff"'])
async def test_bytes_that_are_no_text_are_refused_too(value: bytes) -> None:
    with pytest.raises(InvalidInput):
        await read(value)


@pytest.mark.parametrize("value", [b"null", b"1", b"{}", b"[]", b"true"])
async def test_another_kind_of_value_is_not_audio(value: bytes) -> None:
    with pytest.raises(InvalidFields, match="invalid field"):
        await read(value)
