"""One real server for all tests that leave it well."""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator

import aiohttp
import pytest

from tests.integration.server import ROOT, SECRET, Server, free_port
from tests.integration.tokens import bearer


@pytest.fixture(scope="session")
def archives() -> None:
    """Both archives, built if they are not current."""
    subprocess.run([sys.executable, "-m", "sidecar.archives"], cwd=ROOT, check=True)


@pytest.fixture(scope="package")
def server(archives: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """TorchServe and the sidecar, as scripts/serve starts them.

    It stops with the last test of the folder: tests of others need its processor and memory.
    """
    folder, grpc_port = tmp_path_factory.mktemp("server"), str(free_port())
    with Server(folder, grpc_port=grpc_port, worker_template="true").running() as server:
        yield server
        assert server.stop() == 0


@pytest.fixture
async def http(server: Server) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the shared server."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(server.url, connector=connector) as session:
        yield session


@pytest.fixture
def token() -> Callable[[str], dict[str, str]]:
    """Headers with a token of a scope."""

    return lambda scope: bearer(scope, SECRET)
