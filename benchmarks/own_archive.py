"""An archive with a handler of its own that takes a fixed time for a batch, and its servers."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import aiohttp
from yarl import URL

from benchmarks.servers import ROOT, Running, answers, program
from benchmarks.turns import NoAnswer
from tests.integration.server import Server, free_port, wait_for
from tests.own_archives.plain import plain_torchserve

NAME = "bench"
BATCH_SIZE = 8
ANSWER = "done 1"  # to every request
HANDLER = """
import time


def handle(data, context):
    if data is None:
        return None
    with open({file!r}, "a") as file:
        file.write(f"{{time.time()}} {{len(data)}}\\n")
    time.sleep({seconds})
    return ["{answer}"] * len(data)
"""


class Batch(NamedTuple):
    """A batch that the handler began: when, in seconds of the Unix epoch, and of how many."""

    began: float
    size: int


def batches(folder: Path) -> list[Batch]:
    """Return the batches that the handler packed in *folder* has begun."""
    lines = (line.split() for line in (folder / "begun").read_text().splitlines())
    return [Batch(float(began), int(size)) for began, size in lines]


class Asking(NamedTuple):
    """Asks the model at *url*."""

    http: aiohttp.ClientSession
    url: str

    async def ask(self, _: int = 0, priority: int = 0) -> str | None:
        """Return what is wrong with an answer.  Raises NoAnswer for an error."""
        headers = {"X-Priority": str(priority)}
        async with self.http.post(self.url, data=b"x", headers=headers) as response:
            said = await response.text()
            if response.status != 200:
                raise NoAnswer(response.status)
        return None if said == ANSWER else f"the answer {said[:40]!r}"


@contextlib.contextmanager
def our_server(
    folder: Path, pass_ms: int, *, copies: int = 1, delay_ms: int = 10, most_workers: int = 1
) -> Iterator[Running]:
    """Run our server with *copies* of the archive; its address is that of the first one."""
    store = pack(folder, pass_ms, copies=copies, delay_ms=delay_ms, most_workers=most_workers)
    (folder / "models.json").write_text('{"models": {}}')
    server = Server(
        folder,
        models_file=str(folder / "models.json"),
        model_store=str(store),
        worker_template="true",  # as scripts/serve has it
        zero_scaling="false",
    )
    with server.running():
        assert server.process is not None
        for name in _names(copies):
            url = f"{server.url}/predictions/{name}"
            wait_for(partial(answers, url, b"x"), server.log)
        yield Running(f"{server.url}/predictions/{NAME}", server.process.pid)


@contextlib.contextmanager
def direct(folder: Path, pass_ms: int, *, delay_ms: int = 10) -> Iterator[Running]:
    """Run TorchServe with the archive; it waits *delay_ms* for a batch to fill."""
    store = pack(folder, pass_ms, delay_ms=delay_ms)
    with plain_torchserve(folder / "torchserve", store, models=1) as plain:
        yield Running(f"http://127.0.0.1:{plain.port}/predictions/{NAME}", plain.pid)


@contextlib.contextmanager
def behind_proxy(folder: Path, pass_ms: int, *, delay_ms: int) -> Iterator[Running]:
    """Run TorchServe as `direct` does, behind a proxy that copies bytes and does nothing else."""
    with direct(folder, pass_ms, delay_ms=delay_ms) as server:
        port = free_port()
        command = [sys.executable, "-m", "benchmarks.peers.bare_proxy", str(port)]
        command.append(str(URL(server.url).port))
        url = f"http://127.0.0.1:{port}"
        with program(command, f"{url}/ping", {"PYTHONPATH": str(ROOT)}, folder) as proxy:
            yield Running(f"{url}/predictions/{NAME}", server.pid, proxy)


def pack(
    folder: Path, pass_ms: int, *, copies: int = 1, delay_ms: int = 10, most_workers: int = 1
) -> Path:
    """Pack the archive into a model store in *folder*, as often as *copies*; return that."""
    file = str(folder / "begun")
    source = HANDLER.format(seconds=pass_ms / 1000, file=file, answer=ANSWER)
    config = (
        f"batchSize: {BATCH_SIZE}\nmaxBatchDelay: {delay_ms}\n"
        f"minWorkers: 1\nmaxWorkers: {most_workers}\n"
    )
    return pack_handler(folder, source, config, _names(copies))


def pack_handler(folder: Path, source: str, config: str, names: Sequence[str]) -> Path:
    """Pack a handler's *source* and *config* into a model store in *folder*, under each name."""
    store = folder / "store"
    store.mkdir(parents=True)
    (folder / "handler.py").write_text(source)
    (folder / "config.yaml").write_text(config)
    for name in names:
        command = [sys.executable, "-W", "ignore", "-m", "model_archiver.model_packaging"]
        command += ["--model-name", name, "--version", "1.0"]
        command += ["--handler", str(folder / "handler.py")]
        command += ["--config-file", str(folder / "config.yaml"), "--export-path", str(store)]
        subprocess.run(command, check=True)
    return store


def _names(copies: int) -> list[str]:
    return [NAME, *(f"{NAME}_{number}" for number in range(1, copies))]
