"""An issuer of JWTs: a real HTTP server that publishes its keys as a JWKS."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.sidecar.access.tokens import EC_KEY, RSA_KEY, jwk


class Issuer:
    """An HTTP server with a JWKS; *status* and *body* can be spoiled, *hold* makes it wait."""

    def __init__(self) -> None:
        self.status, self.fetches = 200, 0
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
        self.go_on.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.fetches += 1
                issuer.go_on.wait(10)
                self.send_response(issuer.status)
                self.send_header("Content-Length", str(len(issuer.body)))
                self.end_headers()
                self.wfile.write(issuer.body)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
