"""An issuer of JWTs: a real HTTP server that publishes its keys as a JWKS."""

import json
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.sidecar.access.tokens import EC_KEY, RSA_KEY, jwk
from tests.waiting import LIMIT_SECONDS


class Issuer:
    """An HTTP server with a JWKS; *status* and *body* can be spoiled, *go_on* makes it wait.

    It sends no more than *piece* bytes of an answer, headers included, each *pause* seconds.
    """

    def __init__(self) -> None:
        self.status, self.fetches = 200, 0
        self.location: str | None = None
        self.says_length = True
        self.piece, self.pause = 1 << 16, 0.0
        self.sent = 0
        self.closed = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        self.publish(jwk(RSA_KEY, "rsa"), jwk(EC_KEY, "ec"))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}/keys"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def publish(self, *keys: dict[str, Any]) -> None:
        self.body = json.dumps({"keys": keys}).encode()

    def close(self) -> None:
        self.closed.set()
        self.go_on.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.fetches += 1
                issuer.go_on.wait(LIMIT_SECONDS)
                head = f"HTTP/1.1 {issuer.status} status\r\nConnection: close\r\n"
                if issuer.says_length:
                    head += f"Content-Length: {len(issuer.body)}\r\n"
                if issuer.location is not None:
                    head += f"Location: {issuer.location}\r\n"
                answer = f"{head}\r\n".encode() + issuer.body
                with suppress(ConnectionError):
                    for start in range(0, len(answer), issuer.piece):
                        piece = answer[start : start + issuer.piece]
                        self.wfile.write(piece)
                        issuer.sent += len(piece)
                        if issuer.closed.wait(issuer.pause):
                            return

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
