"""TorchServe is closed to strangers: another local user, gRPC, other archives, secrets."""

import os
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from sidecar.torchserve.client import TorchServeClient
from sidecar.torchserve.failures import EngineRefused
from sidecar.torchserve.key_file import KeyFile
from tests.integration.server import SECRET, Server

pytestmark = pytest.mark.integration
NOBODY = 65534
GRPC_METHODS = (
    "/org.pytorch.serve.grpc.management.ManagementAPIsService/ListModels",
    "/org.pytorch.serve.grpc.management.ManagementAPIsService/RegisterModel",
    "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions",
)


@pytest.fixture
async def client(server: Server) -> AsyncIterator[TorchServeClient]:
    """TorchServe's own APIs, with its tokens, which only this user can read."""
    folder = server.torchserve_folder()
    urls = [f"unix:{folder}/{api}.sock" for api in ("inference", "management", "metrics")]
    keys = KeyFile(folder / "work" / "key_file.json")
    async with TorchServeClient(urls[0], urls[1], urls[2], keys) as client:
        yield client


def test_everything_of_torchserve_lies_in_a_folder_of_its_user_alone(server: Server) -> None:
    folder = server.torchserve_folder()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.rglob("*"):
        assert stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0, path
    for log in (server.folder / "var" / "logs").iterdir():
        assert stat.S_IMODE(log.stat().st_mode) & 0o077 == 0, log


def test_another_local_user_cannot_reach_its_sockets(server: Server) -> None:
    if os.geteuid() != 0:
        assert server.torchserve_folder().stat().st_uid == os.geteuid()
        return
    sockets = sorted(server.torchserve_folder().glob("*.sock"))
    assert len(sockets) in (3, 4)  # of its APIs, and of the workers' template once it is ready
    for path in sockets:
        assert _connect_as(0, path) == "connected"
        assert _connect_as(NOBODY, path) == "refused"


CONNECT = """
import os, socket, sys
user, path = int(sys.argv[1]), sys.argv[2]
os.setgroups([])
os.setresgid(user, user, user)
os.setresuid(user, user, user)
try:
    socket.socket(socket.AF_UNIX).connect(path)
except PermissionError:
    print("refused")
else:
    print("connected")
"""


def _connect_as(user: int, path: Path) -> str:
    """What *user* meets at a socket.

    A program of its own tries it: this process has threads, and must not fork.
    """
    return subprocess.run(
        [sys.executable, "-c", CONNECT, str(user), str(path)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.strip()


def test_torchserve_listens_on_sockets_and_loopback_grpc_only(server: Server) -> None:
    listening = [
        connection.laddr
        for connection in server.java().net_connections(kind="inet")
        if connection.status == "LISTEN"
    ]
    addresses = {address.ip for address in listening}
    assert addresses <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    assert len(listening) == 2


@pytest.mark.parametrize("method", GRPC_METHODS)
def test_grpc_refuses_whoever_has_no_token(server: Server, method: str) -> None:
    refusals = set()
    for connection in server.java().net_connections(kind="inet"):
        if connection.status != "LISTEN":
            continue
        with grpc.insecure_channel(f"127.0.0.1:{connection.laddr.port}") as channel:
            call: Any = channel.unary_unary(method)
            with pytest.raises(grpc.RpcError) as refusal:
                call(b"", timeout=10)
            refusals.add(refusal.value.code())
    # One port has the method, behind its tokens; the other does not have it.
    assert refusals == {grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED}


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "http://127.0.0.1:9/evil.mar",
        "https://evil.example/evil.mar",
        "../model_store/example.mar",
        "/etc/evil.mar",
    ],
)
async def test_archives_come_from_the_model_store_alone(client: TorchServeClient, url: str) -> None:
    with pytest.raises(EngineRefused) as refusal:
        await client.register(url, "evil")
    assert refusal.value.status in (400, 404)
    assert await client.describe("evil") is None


def test_workers_do_not_see_the_sidecars_secrets(server: Server) -> None:
    workers = server.workers()
    assert workers
    for worker in workers:
        environment = Path(f"/proc/{worker.pid}/environ").read_bytes()
        assert b"SIDECAR_" not in environment
        assert SECRET.encode() not in environment


async def test_without_its_token_torchserve_answers_nobody(server: Server) -> None:
    folder = server.torchserve_folder()
    urls = [f"unix:{folder}/{api}.sock" for api in ("inference", "management", "metrics")]
    async with TorchServeClient(urls[0], urls[1], urls[2], KeyFile(None)) as stranger:
        assert await stranger.ping() is False
        with pytest.raises(EngineRefused):
            await stranger.describe("example")
