"""Little input that makes much work: speech, and audio that is long."""

import asyncio
import json
import time
from collections.abc import Sequence

from tests.attacks.attack import OK, REFUSED, Attack
from tests.attacks.flac import silence
from tests.attacks.raw_http import Answer, exchange, request
from tests.integration.server import Server
from tests.sidecar.speech.audio_files import speech_like, write

ANSWER_SECONDS = 180.0
HELLO_SECONDS = 5.0
SMALL_SECONDS = 3.0
GAP_SECONDS = 1.0
TIMES_ALONE = 10  # as long as without the attack
LONG_TEXTS = (
    " ".join(f"$1,{number}.99" for number in range(100, 550)),
    "W" * 3500,
    "1" * 4990,
    "€" * 4900,
    "a. " * 1600,
    "1/2 " * 1200,
    " ".join(["12:59:59"] * 500),
)
FORM = "Content-Type: multipart/form-data; boundary=x"


def _speak(text: str, seconds: float | None = None) -> bytes:
    body: dict[str, object] = {"text": text}
    if seconds is not None:
        body["timeout"] = seconds
    return request("POST", "/synthesize", body=json.dumps(body).encode())


async def _beside(
    server: Server, attacks: Sequence[bytes], small: bytes, limit_seconds: float
) -> list[Answer]:
    """*attacks* all at once, and meanwhile *small* again and again, which is to be quick.

    A machine that is busy anyway may take longer for *small*, as it does before the attack.
    """
    await exchange(server.port, small, seconds=ANSWER_SECONDS)  # a model that sleeps wakes
    began = time.monotonic()
    await exchange(server.port, small, seconds=ANSWER_SECONDS)
    limit_seconds = max(limit_seconds, TIMES_ALONE * (time.monotonic() - began))
    asked = [
        asyncio.create_task(exchange(server.port, data, seconds=ANSWER_SECONDS)) for data in attacks
    ]
    waited: list[float] = []
    while not all(each.done() for each in asked) or not waited:
        began = time.monotonic()
        answer = await exchange(server.port, small, seconds=ANSWER_SECONDS)
        waited.append(time.monotonic() - began)
        assert answer.status == 200, f"the other client got {answer.status}: {answer.body[:200]!r}"
        await asyncio.sleep(GAP_SECONDS)
    assert max(waited) < limit_seconds, f"the other client waited {max(waited):.1f} s"
    return [each.result() for each in asked]


async def _long_speech(server: Server) -> list[int]:
    """Texts that are allowed by their length and would make minutes of speech."""
    asks = [_speak(text) for text in LONG_TEXTS]
    answers = await _beside(server, asks, _speak("Hello."), HELLO_SECONDS)
    return [answer.status for answer in answers]


async def _impatient(server: Server) -> list[int]:
    """Clients that ask for much and leave at once: what nobody waits for is not made."""
    texts = ("and so on " * 490, "Nobody is going to wait for this sentence. " * 110)
    asks = [_speak(text, 0.2) for text in texts * 3]
    answers = await _beside(server, asks, _speak("Hello."), HELLO_SECONDS)
    return [answer.status for answer in answers]


def _check(file: bytes) -> bytes:
    parts = (
        b'--x\r\nContent-Disposition: form-data; name="check_integrity"\r\n\r\ntrue\r\n'
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    )
    return request("POST", "/audio/validate", FORM, body=parts + file + b"\r\n--x--\r\n")


async def _long_audio(server: Server) -> list[int]:
    """Two hours of eight channels at 384 kHz in 2 MB, twenty times."""
    large = _check(await asyncio.to_thread(silence, 7190.0))
    small = _check(write("wav", "pcm_s16le", speech_like(1.0, 16000), 16000))
    answers = await _beside(server, [large] * 20, small, SMALL_SECONDS)
    return [answer.status for answer in answers]


ATTACKS: Sequence[Attack] = (
    Attack(
        "texts that make minutes of speech",
        _long_speech,
        attackers_see=OK | REFUSED | {504},
        peak_mib=256,
        quick=False,
    ),
    Attack(
        "six clients that wait 0.2 s for long speech",
        _impatient,
        attackers_see=REFUSED | {504},
        quick=False,
    ),
    Attack(
        "20 checks of two hours of audio in 2 MB",
        _long_audio,
        attackers_see=OK | REFUSED | {504},
        peak_mib=256,
        quick=False,
    ),
)
