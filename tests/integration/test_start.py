"""What an operator reads when a server starts."""

from pathlib import Path

import pytest

from tests.integration.server import Server
from tests.waiting import LIMIT_SECONDS

pytestmark = pytest.mark.integration


def test_the_banner_tells_where_to_go(server: Server) -> None:
    said = server.log.read_text()
    assert f"Ready: {server.url}" in said
    assert "scripts/token key create" in said  # the server has a secret that the shell lacks


def test_a_port_that_is_taken_is_told_in_a_sentence(server: Server, tmp_path: Path) -> None:
    second = Server(tmp_path)
    second.port = server.port
    second.start()
    assert second.process is not None
    assert second.process.wait(LIMIT_SECONDS) == 2
    said = second.log.read_text()
    assert f"cannot listen on 127.0.0.1:{server.port}" in said
    assert "--port" in said
    assert "Traceback" not in said
    assert server.status("/readyz") == 200
