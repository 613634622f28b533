"""TorchServe by hand on TCP ports, and the sidecar beside it, as an operator would start them."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sidecar.models.worker_start import WorkerStart
from sidecar.torchserve.client import TorchServeClient
from sidecar.torchserve.java import find_java_home
from sidecar.torchserve.key_file import KeyFile
from sidecar.torchserve.process import render_config
from sidecar.torchserve.worker_log import WorkerLog

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 90.0


class Servers(NamedTuple):
    """Both servers' addresses, TorchServe's inference token, and the sidecar's process."""

    torchserve: str
    management: str
    keys: KeyFile
    sidecar: str
    sidecar_pid: int


class Direct(NamedTuple):
    """A model registered for direct calls, with TorchServe's own batching."""

    archive: str
    batch_size: int
    delay_ms: int

    @property
    def name(self) -> str:
        """The name that it is registered under."""
        return f"{self.archive}_b{self.batch_size}_d{self.delay_ms}"


@contextmanager
def running(*variants: Direct) -> Iterator[Servers]:
    """Starts both; *variants* are registered beside the sidecar's own models."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    ports = _free_ports(4)
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    torchserve = _start_torchserve(folder, urls)
    sidecar: subprocess.Popen[bytes] | None = None
    try:
        _wait((folder / "key_file.json").exists)
        sidecar = _start_sidecar(folder, urls, ports[3])
        _wait(lambda: _answers(f"{urls[3]}/readyz"))
        keys = KeyFile(folder / "key_file.json")
        asyncio.run(_register(urls, keys, variants))
        yield Servers(urls[0], urls[1], keys, urls[3], sidecar.pid)
    finally:
        for process in filter(None, (sidecar, torchserve)):
            _stop(process)
        shutil.rmtree(folder, ignore_errors=True)


def _start_torchserve(folder: Path, urls: list[str]) -> subprocess.Popen[bytes]:
    (folder / "tmp").mkdir()
    overrides = {
        "inference_address": urls[0],
        "management_address": urls[1],
        "metrics_address": urls[2],
        "allowed_urls": f"file://{ROOT}/model_store/.*",
    }
    config = folder / "config.properties"
    config.write_text(render_config((ROOT / "config.properties").read_text(), overrides))
    log = ROOT / "sidecar" / "torchserve" / "log4j2.xml"
    command = [sys.executable, "-m", "ts.model_server", "--start", "--foreground", "--ncs"]
    command += ["--ts-config", str(config), "--model-store", str(ROOT / "model_store")]
    command += ["--log-config", str(log)]
    environment = {
        **os.environ,
        "JAVA_HOME": str(find_java_home()),
        "OMP_WAIT_POLICY": "PASSIVE",
        "TMPDIR": str(folder / "tmp"),
        "TEMP": str(folder / "tmp"),
        "LOG_LOCATION": str(folder),
        "METRICS_LOCATION": str(folder),
    }
    return _start(command, folder, environment)


def _start_sidecar(folder: Path, urls: list[str], port: int) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "SIDECAR_MODELS_FILE": str(ROOT / "models.json"),
        "SIDECAR_STATE_DIR": str(folder / "var"),
        "SIDECAR_INFERENCE_URL": urls[0],
        "SIDECAR_MANAGEMENT_URL": urls[1],
        "SIDECAR_METRICS_URL": urls[2],
        "SIDECAR_TORCHSERVE_KEY_FILE": str(folder / "key_file.json"),
    }
    return _start([sys.executable, "-m", "sidecar", "--port", str(port)], folder, environment)


def _start(
    command: list[str], folder: Path, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def _register(urls: list[str], keys: KeyFile, variants: tuple[Direct, ...]) -> None:
    async with TorchServeClient(urls[0], urls[1], urls[2], keys) as client:
        for variant in variants:
            await client.register(
                f"{variant.archive}.mar",
                variant.name,
                batch_size=variant.batch_size,
                batch_delay_ms=variant.delay_ms,
            )
            await WorkerStart(client, WorkerLog(None)).start(variant.name, 1, 1, START_SECONDS)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _wait(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError("a server did not start")
        time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
