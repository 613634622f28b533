"""What wrk says of a server: every answer is looked at."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.http_load import run_load

PATTERN = '"output": ([%d.e-]+)'


@contextmanager
def answering(answer: Callable[[bytes], tuple[int, bytes]]) -> Iterator[str]:
    """Run a server that answers what *answer* makes of a body."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            status, body = answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
@pytest.mark.parametrize(
    ("status", "body", "failed", "wrong"),
    [
        (200, b'{"output": 0.5}', False, None),
        (200, b'{"output": 0.7}', False, "were not 0.5000"),
        (200, b"{}", False, "were not 0.5000"),
        (503, b'"the queue\n is full"', True, None),
    ],
)
async def test_answers_that_are_wrong_or_no_success_are_told(
    status: int,
    body: bytes,
    failed: bool,
    wrong: str | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with answering(lambda asked: (status, body) if asked == b"[1]" else (400, b"")) as url:
        found = await run_load(url, "[1]", PATTERN, 0.5, connections=2, seconds=1)
    assert (found.answered == 0, found.failed > 0) == (failed, failed)
    assert (found.wrong or "").endswith(wrong or "")
    assert (found.wrong is None) == (wrong is None)
    assert ('503 "the queue is full"' in capsys.readouterr().err) == failed
