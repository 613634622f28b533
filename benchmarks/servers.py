"""The servers that are measured: ours, TorchServe called directly, and a peer's program."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp

from benchmarks.process_tree import ProcessTree
from sidecar.catalog.model_store import archive_path
from sidecar.torchserve.java import find_java_home
from sidecar.torchserve.process import render_config
from tests.integration.server import Server, free_port, quick_catalog, wait_for

ROOT = Path(__file__).resolve().parents[1]
LOG = "output.log"  # of a program, in its folder
ANSWER_SECONDS = 120.0  # an answer that comes later failed
QUIET = {"OMP_WAIT_POLICY": "PASSIVE"}  # threads that wait leave their core to the others


class Running(NamedTuple):
    """A server that answers: its address, and the process that started all of its others.

    *proxy* is the process of a proxy before it; None if there is none.
    """

    url: str
    pid: int
    proxy: int | None = None

    @property
    def processes(self) -> ProcessTree:
        """All of the server's, and the proxy."""
        return ProcessTree(self.pid) if self.proxy is None else ProcessTree(self.pid, self.proxy)


class Direct(NamedTuple):
    """How TorchServe batches a model by itself."""

    batch_size: int
    delay_ms: int

    @property
    def name(self) -> str:
        """What its row is called."""
        return f"TorchServe, batch {self.batch_size}, {self.delay_ms} ms"


@contextmanager
def ours(*models: str, **settings: str) -> Iterator[Running]:
    """Run the sidecar and its TorchServe with *models* alone, as `scripts/serve` starts them.

    Models do not fall asleep while others have their turn, unless *settings* say so.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        catalog = quick_catalog(folder, *models)
        settings = {"worker_template": "true", "zero_scaling": "false"} | settings
        server = Server(folder, models_file=str(catalog), **settings)
        with server.running():
            assert server.process is not None
            if settings["worker_template"] == "true":  # whose imports would take others' time
                server.wait_forking()
            yield Running(server.url, server.process.pid)


@contextmanager
def torchserve(archive: str, direct: Direct) -> Iterator[Running]:
    """Run TorchServe with one worker of *archive*, as *direct* batches, otherwise as we set it.

    Only its Java is left as TorchServe starts it: what we set is for jobs that are batches already.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tmp").mkdir()
        apis = ("inference", "management", "metrics")
        urls = {api: f"http://127.0.0.1:{free_port()}" for api in apis}
        command = [sys.executable, "-m", "ts.model_server", "--start", "--foreground", "--ncs"]
        command += ["--ts-config", str(_config(folder, urls)), "--disable-token-auth"]
        command += ["--model-store", str(ROOT / "model_store")]
        command += ["--log-config", str(ROOT / "sidecar" / "torchserve" / "log4j2.xml")]
        environment = {
            "JAVA_HOME": str(find_java_home()),
            "TMPDIR": str(folder / "tmp"),
            "TEMP": str(folder / "tmp"),
            "LOG_LOCATION": str(folder),
            "METRICS_LOCATION": str(folder),
        }
        with program(command, f"{urls['inference']}/ping", environment, folder) as pid:
            _register(urls["management"], archive, direct)
            yield Running(f"{urls['inference']}/predictions/{archive}", pid)


@contextmanager
def unpacked(model: str) -> Iterator[Path]:
    """Give a folder with the files of *model*'s archive."""
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(archive_path(ROOT / "model_store", model)) as archive:
            archive.extractall(folder)
        yield Path(folder)


@contextmanager
def program(
    command: Sequence[str], ready: str, environment: Mapping[str, str], folder: Path
) -> Iterator[int]:
    """Run *command* in *folder* and give its process id, once the address *ready* answers."""
    log = folder / LOG
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | QUIET | dict(environment),
            stdout=output,
            stderr=output,
        )
    try:
        wait_for(lambda: process.poll() is not None or answers(ready), log)
        if process.poll() is not None:
            raise RuntimeError(f"{command} ended: {log.read_text()[-2000:]}")
        yield process.pid
    finally:
        if process.poll() is None:
            ProcessTree(process.pid).end()
        process.wait()


def session(
    base: str | None = None, address: str | None = None, **headers: str
) -> aiohttp.ClientSession:
    """Return a client that opens as many connections as it needs, from *address* if it is given."""
    local = None if address is None else (address, 0)
    return aiohttp.ClientSession(
        base,
        headers=headers,
        connector=aiohttp.TCPConnector(limit=0, local_addr=local),
        timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
    )


def answers(url: str, body: bytes | None = None, **headers: str) -> bool:
    """Whether *url* answers with 200, to a POST of *body* with *headers* if there is one."""
    try:
        request = urllib.request.Request(url, body, headers)
        with urllib.request.urlopen(request, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _config(folder: Path, urls: Mapping[str, str]) -> Path:
    overrides = {f"{api}_address": url for api, url in urls.items()} | {"vmargs": ""}
    overrides["allowed_urls"] = f"file://{ROOT}/model_store/.*"
    config = folder / "config.properties"
    config.write_text(render_config((ROOT / "config.properties").read_text(), overrides))
    return config


def _register(management: str, archive: str, direct: Direct) -> None:
    query = (
        f"url={archive}.mar&model_name={archive}&initial_workers=1&synchronous=true"
        f"&batch_size={direct.batch_size}&max_batch_delay={direct.delay_ms}"
    )
    request = urllib.request.Request(f"{management}/models?{query}", method="POST")
    with contextlib.suppress(urllib.error.HTTPError):  # what it registered tells
        urllib.request.urlopen(request, timeout=120).close()
    with urllib.request.urlopen(f"{management}/models/{archive}", timeout=10) as answer:
        (model,) = json.loads(answer.read())
    if (model["batchSize"], model["maxBatchDelay"]) != direct:
        raise RuntimeError(f"TorchServe registered {model}")
