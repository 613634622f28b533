"""A real server in its own process: the sidecar, and TorchServe under it or beside it."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.waiting import LIMIT_SECONDS, block_until

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 400.0
SECRET = "integration tests sign their tokens with this"


def quick_catalog(folder: Path, *keys: str) -> Path:
    """A models.json with the models *keys* alone: for tests that start a server of their own."""
    models = json.loads((ROOT / "models.json").read_text())["models"]
    path = folder / "models.json"
    path.write_text(json.dumps({"models": {key: models[key] for key in keys}}))
    return path


class Server:
    """`python -m sidecar` with a state folder and a port of its own."""

    def __init__(self, folder: Path, *, torchserve: str = "managed", **settings: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "output.log"
        self._torchserve = torchserve
        self.environment = os.environ | {
            "SIDECAR_STATE_DIR": str(folder / "var"),
            "SIDECAR_JWT_SECRET": SECRET,
            "SIDECAR_WORKER_TEMPLATE": "false",  # its imports would take the tests' time
            **{f"SIDECAR_{name.upper()}": value for name, value in settings.items()},
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.watch_other: Callable[[Server], Awaitable[None]] = _unwatched

    @property
    def grpc_address(self) -> str:
        """Where gRPC is served, if its setting says so."""
        return f"127.0.0.1:{self.environment['SIDECAR_GRPC_PORT']}"

    def start(self) -> None:
        command = [sys.executable, "-m", "sidecar", "--port", str(self.port)]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*command, "--torchserve", self._torchserve],
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=output,
            )

    @contextmanager
    def running(self) -> Iterator["Server"]:
        """Start the server and wait until it is ready; stop it at the end if it still runs."""
        self.start()
        try:
            self.wait_ready()
            yield self
        finally:
            if self.process is not None and self.process.poll() is None:
                self.stop()

    def wait_ready(self) -> None:
        wait_for(lambda: self.status("/readyz") == 200, self.log)

    def status(self, path: str) -> int | None:
        try:
            with urllib.request.urlopen(self.url + path, timeout=LIMIT_SECONDS) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as exc:
            return exc.code
        except OSError:
            return None

    def children(self) -> list[psutil.Process]:
        """TorchServe's starter, Java and the workers."""
        assert self.process is not None
        return psutil.Process(self.process.pid).children(recursive=True)

    def java(self) -> psutil.Process:
        return next(child for child in self.children() if "java" in child.name())

    def workers(self) -> list[psutil.Process]:
        return [child for child in self.children() if _is_worker(child)]

    def wait_forking(self) -> psutil.Process:
        """Wait until workers are forked, if the server does that; return the template."""
        wait_for((self.torchserve_folder() / "template.sock").exists, self.log)
        return next(each for each in self.children() if each.name() == "worker-template")

    def torchserve_folder(self) -> Path:
        """The private folder: Java runs in its work folder."""
        return Path(self.java().cwd()).parent

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(LIMIT_SECONDS)


def _is_worker(process: psutil.Process) -> bool:
    try:
        words, name = process.cmdline(), process.name()
    except psutil.NoSuchProcess:  # it has ended meanwhile
        return False
    named = any("model_service_worker" in word for word in words)
    return named and name not in ("worker-launcher", "worker-template")


async def _unwatched(other: Server) -> None:
    """Let nobody look at a server that a fault starts beside another."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], bool], log: Path) -> None:
    """Block until *condition* is true; the failure shows the end of *log*."""
    try:
        block_until(condition, START_SECONDS)
    except TimeoutError:
        raise AssertionError(log.read_text()[-3000:]) from None
