"""An issuer of JWTs: key pairs, and a real HTTP server that publishes them as a JWKS."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import get_default_algorithms

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
MALFORMED_STRINGS = ["x", "a.b.c", "..", "\ud800", "\ud800.\ud800.\ud800", "\0", "é.é.é"]


class Clock:
    """A time that passes when the test says so."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class FakeIssuer:
    """Publishes *keys* by key id, counts *fetches*, and answers *broken* instead when set."""

    def __init__(self, keys: dict[str, PrivateKey]) -> None:
        self.keys = keys
        self.fetches = 0
        self.broken: tuple[int, bytes] | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks.json"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def token(self, key_id: str, algorithm: str = "RS256", **claims: Any) -> str:
        """A token that names *key_id* and is signed with it."""
        return sign(self.keys[key_id], algorithm, {"kid": key_id}, **claims)

    def _answer(self) -> tuple[int, bytes]:
        self.fetches += 1
        if self.broken is not None:
            return self.broken
        return 200, json.dumps({"keys": [_jwk(*item) for item in self.keys.items()]}).encode()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = issuer._answer()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


def good_claims(**claims: Any) -> dict[str, Any]:
    """Claims that are good for an hour, with *claims* on top; None takes one away."""
    merged = {"sub": "alice", "exp": int(time.time()) + 3600} | claims
    return {name: value for name, value in merged.items() if value is not None}


def sign(key: Any, algorithm: str, headers: dict[str, Any] | None = None, /, **claims: Any) -> str:
    """A token of `good_claims`."""
    return jwt.encode(good_claims(**claims), key, algorithm=algorithm, headers=headers)


def public_pem(key: Any) -> bytes:
    """The public half of *key* as a file holds it."""
    pem: bytes = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return pem


def _jwk(key_id: str, key: PrivateKey) -> dict[str, Any]:
    algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
    public = get_default_algorithms()[algorithm].to_jwk(key.public_key(), as_dict=True)
    return {**public, "kid": key_id, "alg": algorithm, "use": "sig"}
