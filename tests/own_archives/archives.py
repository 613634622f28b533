"""The archives, and the requests that TorchServe and the sidecar have to answer alike."""

import array
import io
import json
import subprocess
import sys
import wave
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
HANDLERS = Path(__file__).with_name("handlers")
LABELS = "index_to_name.json"
NETWORKS = ("first.pt", "second.pt")
REQUIREMENTS = "requirements.txt"


class Archive(NamedTuple):
    """How one archive is packed; its handler is the file of its name."""

    format: str = "default"
    config: Mapping[str, Any] = {}
    extra: Sequence[str] = ()
    serialized: str | None = None
    requirements: str | None = None


class Ask(NamedTuple):
    """One request.  *behind* is what of the path follows the model's name."""

    model: str
    body: bytes
    headers: Mapping[str, str] = {}
    api: str = "predictions"
    behind: str = ""


ARCHIVES: Mapping[str, Archive] = {
    "text": Archive(),
    "picture": Archive(),
    "parts": Archive(),
    "function": Archive(),
    "labels": Archive(format="no-archive", extra=(LABELS,)),
    "metrics": Archive(format="tgz"),
    "stream": Archive(),
    "batch": Archive(
        config={"batchSize": 4, "maxBatchDelay": 50, "scaling": {"factor": 3}}, format="zip-store"
    ),
    "errors": Archive(),
    "state": Archive(),
    "workers": Archive(config={"minWorkers": 2, "maxWorkers": 2}),
    "big": Archive(),
    "packages": Archive(requirements=REQUIREMENTS),
    "torchscript": Archive(serialized=NETWORKS[0]),
    "ensemble": Archive(extra=NETWORKS),
    "headers": Archive(),
    "audio": Archive(),
    "explain": Archive(format="tgz", config={"responseTimeout": 30}),
    "dying": Archive(),
}


def pack(store: Path, names: Sequence[str] = tuple(ARCHIVES)) -> None:
    """Pack the archives *names* into *store*, each as `own_<name>`.

    It takes a process of its own, since the archiver leaves files open.
    """
    command = [sys.executable, "-m", "tests.own_archives.packing", str(store), *names]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (7, 5), (200, 100, 50)).save(file, "PNG")
    return file.getvalue()


def _sound() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(8000)
        wav.writeframes(array.array("h", range(-400, 400)).tobytes())
    return file.getvalue()


def _form(boundary: str, *parts: tuple[str, str | None, str, bytes]) -> bytes:
    """A multipart form of (name, file name, type, content)."""
    body = b""
    for name, file_name, kind, content in parts:
        file = f'; filename="{file_name}"' if file_name else ""
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n'
        body += f"{head}Content-Type: {kind}\r\n\r\n".encode() + content + b"\r\n"
    return body + f"--{boundary}--\r\n".encode()


JSON = {"Content-Type": "application/json"}
TEXT = {"Content-Type": "text/plain"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
MULTIPART = {"Content-Type": "multipart/form-data; boundary=xyz"}
PNG = {"Content-Type": "image/png"}
WAV = {"Content-Type": "audio/wav"}

REQUESTS: Sequence[Ask] = (
    Ask("text", b"Bloomberg has decided", TEXT),
    Ask("text", b"no type at all"),
    Ask("text", "zw\u00f6lf \U0001f600".encode(), {"Content-Type": "text/plain; charset=utf-8"}),
    Ask("text", _json("as JSON"), JSON),
    Ask("text", _json([1, 2.5, None]), JSON),
    Ask("text", b"data=of+a+form&more=1", FORM),
    Ask("text", b"{broken", JSON),
    Ask("picture", _picture(), PNG),
    Ask("picture", _picture(), {"Content-Type": "application/octet-stream"}),
    Ask("picture", _form("xyz", ("data", "a.png", "image/png", _picture())), MULTIPART),
    Ask("picture", b"no picture", PNG),
    Ask(
        "parts",
        _form(
            "xyz",
            ("data", "a.png", "image/png", _picture()),
            ("question", None, "text/plain", b"what is it?"),
            ("more", "b.json", "application/json", b'{"a": 1}'),
        ),
        MULTIPART,
    ),
    Ask("parts", b"a=1&b=two&c=", FORM),
    Ask("function", b"hello", TEXT),
    Ask("function", _json({"a": [1, 2]}), JSON),
    Ask("labels", b"1", TEXT),
    Ask("labels", b"7", TEXT),
    Ask("metrics", b"count me", TEXT),
    Ask("stream", b"3", TEXT),
    Ask("stream", b"0", TEXT),
    Ask("batch", _json({"number": 5}), JSON),
    Ask("batch", _json({"wrong": 5}), JSON),
    *(
        Ask("errors", _json({"wish": wish}), JSON)
        for wish in ("nothing", "status", "exception", "prediction", "short", "no list")
    ),
    *(Ask("state", _json({"who": "somebody", "add": add}), JSON) for add in (1, 10, 100)),
    Ask("workers", _json([1, 2, 3]), JSON),
    Ask("big", b"1", TEXT),
    Ask("big", b"5", TEXT),
    Ask("packages", b"which", TEXT),
    Ask("torchscript", _json([1, 2, 3, 4]), JSON),
    Ask("torchscript", _json({"data": 1}), JSON),
    Ask("ensemble", _json([4, 3, 2, 1]), JSON),
    Ask("headers", b"x", TEXT | {"X-Asked": "something"}),
    Ask("headers", b"x", TEXT | {"X-Asked": "zw\xf6lf"}),
    Ask("headers", b"x", TEXT | {"X-Asked": "\u20ac".encode().decode("latin-1")}),
    Ask("headers", b"x"),
    Ask("headers", b"x", behind="/1.0"),
    Ask("headers", b"x", behind="/1.0/en"),
    Ask("headers", b"x", behind="/1.0/en/a%20b/c%2Fd"),
    Ask("headers", b"x", api="explanations", behind="/1.0"),
    Ask("audio", _sound(), WAV),
    Ask("explain", b"x", TEXT),
    Ask("explain", b"x", TEXT, api="explanations"),
    Ask("explain", _json({"inputs": []}), JSON, api="v2/models", behind="/explain"),
    Ask("parts", b"a=1&b=two&c=", FORM, api="v1/models", behind=":predict"),
    Ask("parts", _form("xyz", ("a", None, "text/plain", b"1")), MULTIPART, "v1/models", ":explain"),
    Ask("parts", b"a=1&b=two&c=", FORM, api="models", behind="/invoke"),
    Ask("dying", b"live", TEXT),
)
