"""An audio file inside JSON, in the form that the client sent it."""

import base64
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

# Raw: tens of megabytes are decoded from where they lie, and not copied into a string first.
InlineAudio = Annotated[
    msgspec.Raw,
    Meta(
        description="data:audio/…;base64,… or plain base64; no path, no address",
        extra_json_schema={"type": ["string", "null"]},
    ),
]


def hello() -> str:
    """Return a recording of one word, as a client sends it: for the examples in the document."""
    recording = Path(__file__).with_name("hello.opus").read_bytes()
    return f"data:audio/ogg;base64,{base64.b64encode(recording).decode()}"


def no_audio() -> msgspec.Raw:
    """Return the placeholder of a request without audio, or with its audio elsewhere."""
    return msgspec.Raw(b"null")
