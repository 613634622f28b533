"""The servers that can run the example model, each in an environment of its own."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.peers.environments import HERE, environment
from benchmarks.peers.example_network import MAX_BATCH_SIZE, MAX_WAIT_SECONDS
from benchmarks.servers import LOG, Running, answers, program, unpacked
from tests.integration.server import free_port, wait_for

EXAMPLE = "example"
ROW = list(range(1, 11))
JSON = {"Content-Type": "application/json"}
NUMBER = r"([%d%.e-]+)"  # in Lua's patterns


class ExampleServer(NamedTuple):
    """A server of the example model: how it is started and asked.

    In *command* PYTHON, BIN, HERE, PORT and FOLDER stand for what they name.  *pattern*
    captures the answer's number, by Lua's rules.
    """

    name: str
    environment: str
    command: str
    path: str
    ready: str
    body: str = json.dumps(ROW)
    pattern: str = f'"output":{NUMBER}'


EXAMPLE_SERVERS = (
    ExampleServer(
        "mosec",
        "mosec",
        "PYTHON HERE/mosec_server.py --address 127.0.0.1 --port PORT --timeout 30000",
        "/inference",
        "/metrics",
        pattern=NUMBER,
    ),
    ExampleServer(
        "LitServe", "litserve", "PYTHON HERE/litserve_server.py PORT", "/predict", "/health"
    ),
    ExampleServer(
        "BentoML",
        "bentoml",
        "PYTHON -m bentoml serve bentoml_server:Network --host 127.0.0.1 --port PORT",
        "/predict",
        "/readyz",
        json.dumps({"inputs": [ROW]}),
        rf"%[{NUMBER}%]",
    ),
    ExampleServer(
        "MLServer",
        "mlserver",
        "BIN/mlserver start FOLDER",
        "/v2/models/example/infer",
        "/v2/models/example/ready",
        json.dumps({"inputs": [{"name": "x", "shape": [1, 10], "datatype": "FP32", "data": ROW}]}),
        rf'"data":%[{NUMBER}%]',
    ),
    # Last: its processes are the busiest ones while nobody asks.
    ExampleServer("Ray Serve", "ray", "PYTHON HERE/ray_server.py PORT", "/", "/-/healthz"),
)


@contextmanager
def example_server(server: ExampleServer, environments: Path) -> Iterator[Running]:
    """Run *server*; its environment lies in *environments*."""
    python = environment(server.environment, environments)
    with unpacked(EXAMPLE) as example, tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        _write_mlserver_settings(folder, port)
        names = {
            "PYTHON": python,
            "BIN": str(Path(python).parent),
            "HERE": str(HERE),
            "PORT": str(port),
            "FOLDER": name,
        }
        command = [_named(word, names) for word in server.command.split()]
        variables = {
            "EXAMPLE": str(example),
            "PYTHONPATH": str(HERE),
            "BENTOML_DO_NOT_TRACK": "True",
            "RAY_USAGE_STATS_ENABLED": "0",
            "TMPDIR": name,
        }
        base = f"http://127.0.0.1:{port}"
        with program(command, base + server.ready, variables, folder) as pid:
            asks = partial(answers, base + server.path, server.body.encode(), **JSON)
            wait_for(asks, folder / LOG)  # one says that it is ready before its model is
            yield Running(base + server.path, pid)


def _named(word: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        word = word.replace(name, value)
    return word


def _write_mlserver_settings(folder: Path, port: int) -> None:
    """Write what MLServer reads from its folder; it runs the model in its own process."""
    server = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "parallel_workers": 0,
        "debug": False,
    }
    model = {
        "name": EXAMPLE,
        "implementation": "mlserver_model.Network",
        "max_batch_size": MAX_BATCH_SIZE,
        "max_batch_time": MAX_WAIT_SECONDS,
    }
    (folder / "settings.json").write_text(json.dumps(server))
    (folder / "model-settings.json").write_text(json.dumps(model))
