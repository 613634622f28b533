"""Starting and stopping, as an operator meets it."""

import json
import signal
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.integration.server import ROOT, Server, quick_catalog, wait_for
from tests.waiting import LIMIT_SECONDS

pytestmark = pytest.mark.integration
QUEUED = 'sidecar_queued{model="sentence_transformer"} '


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_both_and_leaves_no_process_and_no_socket(
    own_server: Server, number: signal.Signals
) -> None:
    folder, children = own_server.torchserve_folder(), own_server.children()
    assert own_server.stop(number) == 0
    assert not folder.exists()
    assert not any(child.is_running() for child in children if _lives(child))
    assert not list((own_server.folder / "var").glob("torchserve-*.json"))


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("own_server", ["sentence_transformer"], indirect=True)
def test_a_drain_answers_requests_in_flight_with_readiness_red(
    own_server: Server,
) -> None:
    texts = ["a text that takes its time " * 30] * 200
    body = json.dumps({"model_name": "minilm", "inputs": texts, "timeout": 200}).encode()

    def ask() -> int:
        with urllib.request.urlopen(
            f"{own_server.url}/predict", body, timeout=LIMIT_SECONDS
        ) as answer:
            return len(json.loads(answer.read())["result"])

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask)
        wait_for(lambda: _queued(own_server) > 0, own_server.log)
        assert own_server.process is not None
        own_server.process.send_signal(signal.SIGTERM)
        wait_for(lambda: own_server.status("/readyz") == 503, own_server.log)
        assert own_server.status("/livez") == 200
        assert asked.result() == len(texts)
    assert own_server.process.wait(LIMIT_SECONDS) == 0


def _queued(server: Server) -> float:
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=LIMIT_SECONDS) as answer:
        text = answer.read().decode()
    line = next(line for line in text.splitlines() if line.startswith(QUEUED))
    return float(line.removeprefix(QUEUED))


def test_a_signal_while_it_starts_stops_it_too(archives: None, tmp_path: Path) -> None:
    server = Server(tmp_path, models_file=str(quick_catalog(tmp_path, "example")))
    server.start()
    wait_for(lambda: server.status("/livez") == 200, server.log)
    assert server.status("/readyz") == 503
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("SIDECAR_PORT", "http", "SIDECAR_PORT"),
        ("SIDECAR_MODELS_FILE", "/nowhere.json", "/nowhere.json"),
        ("SIDECAR_ENVIRONMENT", "production", "production needs a credential source"),
    ],
)
def test_a_failed_start_says_why_in_one_sentence(
    tmp_path: Path, variable: str, value: str, said: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sidecar", "--torchserve", "managed"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "SIDECAR_STATE_DIR": str(tmp_path), variable: value},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
