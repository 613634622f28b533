"""A request that is still in pieces, so that each of them can be changed."""

import json
from dataclasses import dataclass, field
from typing import Any

HOST = b"Host: 127.0.0.1"


@dataclass
class Part:
    """One part of a form; *head* has no line end after its last line."""

    head: bytes
    content: bytes


@dataclass
class Draft:
    """*fields* becomes a JSON body, *parts* a form; *body*, once it is set, is sent as it is.

    A draft that is not *whole* may be left without an answer: its end is missing, or not where
    its head says.
    """

    method: bytes
    target: bytes
    headers: list[bytes] = field(default_factory=list)
    fields: Any = None
    parts: list[Part] | None = None
    boundary: bytes = b"limit"
    body: bytes | None = None
    whole: bool = True

    def encode_body(self) -> None:
        """Set *body*; from here on it is bytes."""
        if self.body is not None:
            return
        if self.parts is not None:
            self.headers.append(b"Content-Type: multipart/form-data; boundary=" + self.boundary)
            opening = b"--" + self.boundary + b"\r\n"
            pieces = [
                opening + each.head + b"\r\n\r\n" + each.content + b"\r\n" for each in self.parts
            ]
            self.body = b"".join(pieces) + b"--" + self.boundary + b"--\r\n"
        elif self.fields is not None:
            text = json.dumps(self.fields, ensure_ascii=False)
            self.body = text.encode("utf-8", "surrogatepass")

    def wire(self) -> bytes:
        """The request, with the right length."""
        lines = [self.method + b" " + self.target + b" HTTP/1.1", HOST, *self.headers]
        if self.body is not None:
            lines.append(b"Content-Length: %d" % len(self.body))
        return b"\r\n".join([*lines, b"", self.body or b""])
