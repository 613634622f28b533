"""The requests that a new user would send first, and what must come back."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

SENTENCE = "Hello. This is how I sound."
REQUEST_SECONDS = 120


class Failed(RuntimeError):
    """Something did not go as the documents say."""


def send(
    url: str,
    body: bytes | dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, bytes]:
    """Return the status and the body that *url* answers; a dict is sent as JSON."""
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    request = urllib.request.Request(url, data, headers or {})
    try:
        with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read()


def wait_for(condition: Callable[[], bool], what: str, seconds: float) -> float:
    """Wait until *condition* holds, and return the seconds it took.  Raises Failed."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > seconds:
            raise Failed(f"{what}: not within {seconds:.0f} seconds")
        time.sleep(0.2)
    return time.monotonic() - start


def is_ready(url: str) -> bool:
    """Return whether the server at *url* is ready by now, and no model of it has failed.

    A busy machine may load one too late; it is tried again, and does not count for /readyz.
    """
    try:
        status, body = send(f"{url}/health")
        none_fails = status == 200 and not json.loads(body)["failing_models"]
        return none_fails and send(f"{url}/readyz")[0] == 200
    except OSError:
        return False


def converse(url: str) -> str:
    """Predict, speak and listen at the server at *url*; return what was heard.  Raises Failed."""
    number = result_of(url, "example", [1, 2, 3, 4, 5])
    if not isinstance(number, float):
        raise Failed(f"/predict, example: expected a number, got {number!r}")
    embedding = result_of(url, "sentence_transformer", "Hello world")
    if not isinstance(embedding, list) or len(embedding) != 384:
        raise Failed("/predict, sentence_transformer: expected 384 numbers")
    status, wav = send(f"{url}/synthesize", {"text": SENTENCE}, {"Accept": "audio/*"})
    if status != 200 or wav[:4] != b"RIFF":
        raise Failed(f"/synthesize: expected a WAV file, got {status} {wav[:200]!r}")
    heard = listen(url, wav)
    if heard != SENTENCE:
        raise Failed(f"/transcribe: expected {SENTENCE!r}, got {heard!r}")
    return heard


def result_of(url: str, model: str, inputs: Any) -> Any:
    """Return what *model* makes of *inputs*.  Raises Failed."""
    status, body = send(f"{url}/predict", {"model_name": model, "inputs": inputs})
    if status != 200:
        raise Failed(f"/predict, {model}: {status} {body[:200]!r}")
    return json.loads(body)["result"]


def listen(url: str, wav: bytes) -> str:
    """Return what the server understands of *wav*."""
    boundary = "a-boundary-that-no-recording-has"
    parts = [
        f"--{boundary}\r\nContent-Disposition: form-data; "
        'name="response_format"\r\n\r\ntext\r\n'.encode(),
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="hello.wav"\r\n'
        "Content-Type: audio/wav\r\n\r\n".encode(),
        wav,
        f"\r\n--{boundary}--\r\n".encode(),
    ]
    form = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    status, body = send(f"{url}/transcribe", b"".join(parts), form)
    return body.decode().strip() if status == 200 else f"{status} {body[:200]!r}"
