"""`torchserve --start` by hand, with its own batching, and the sidecar beside it."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sidecar.torchserve.java import find_java_home
from sidecar.torchserve.process import render_config
from tests.integration.server import ROOT, Server, free_port, quick_catalog, wait_for
from tests.waiting import LIMIT_SECONDS

pytestmark = pytest.mark.integration
MODELS = ("example", "sentence_transformer")


class ByHand(NamedTuple):
    """A TorchServe that was started by its own command."""

    folder: Path
    urls: dict[str, str]

    def ask(self, path: str, body: bytes | None = None, *, key: bool = True) -> tuple[int, Any]:
        keys = json.loads((self.folder / "key_file.json").read_bytes())
        headers = {"Content-Type": "application/json"}
        if key:
            headers["Authorization"] = f"Bearer {keys['inference']['key']}"
        request = urllib.request.Request(self.urls["inference"] + path, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=LIMIT_SECONDS) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as exc:
            return exc.code, json.loads(exc.read())


@pytest.fixture(scope="module")
def by_hand(archives: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ByHand]:
    """`torchserve --start --ts-config config.properties`, on free ports."""
    folder = tmp_path_factory.mktemp("by-hand")
    (folder / "tmp").mkdir()
    apis = ("inference", "management", "metrics")
    urls = {api: f"http://127.0.0.1:{free_port()}" for api in apis}
    config = folder / "config.properties"
    overrides = {f"{api}_address": url for api, url in urls.items()}
    config.write_text(render_config((ROOT / "config.properties").read_text(), overrides))
    environment = os.environ | {
        "JAVA_HOME": str(find_java_home()),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PWD": str(ROOT),
        "TMPDIR": str(folder / "tmp"),
        "TEMP": str(folder / "tmp"),
    }
    command = ["torchserve", "--start", "--foreground", "--ncs", "--ts-config", str(config)]
    command += ["--model-store", str(ROOT / "model_store"), "--models"]
    command += [f"{model}={model}.mar" for model in MODELS]
    with (folder / "output.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    server = ByHand(folder, urls)
    try:
        wait_for((folder / "key_file.json").exists, folder / "output.log")
        wait_for(lambda: _answers(server), folder / "output.log")
        yield server
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(LIMIT_SECONDS)


def _answers(server: ByHand) -> bool:
    try:
        return all(server.ask(f"/predictions/{model}", b'"a"')[0] == 200 for model in MODELS)
    except (OSError, ValueError):  # not there yet, or its key file is half written
        return False


def test_the_archives_work_without_the_sidecar(by_hand: ByHand) -> None:
    assert by_hand.ask("/predictions/example", b"[1, 2, 3, 4, 5]")[0] == 200
    status, vector = by_hand.ask("/predictions/sentence_transformer", b'"Hello world"')
    assert (status, len(vector)) == (200, 384)
    status, answer = by_hand.ask("/predictions/example", b'{"a": 1}')
    assert (status, set(answer)) == (400, {"error"})


def test_torchserves_own_batches_fail_item_by_item(by_hand: ByHand) -> None:
    bodies = [b"[1]", b'{"bad": 1}', b'"text"', b"[2]"] * 8
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda body: by_hand.ask("/predictions/example", body), bodies))
    assert [status for status, _ in answers] == [200, 400, 200, 200] * 8


def test_token_authorization_is_on(by_hand: ByHand) -> None:
    assert by_hand.ask("/predictions/example", b"[1]", key=False)[0] == 400


def test_the_sidecar_beside_it_takes_its_models_over(by_hand: ByHand, tmp_path: Path) -> None:
    server = Server(
        tmp_path,
        torchserve="external",
        models_file=str(quick_catalog(tmp_path, *MODELS)),
        torchserve_key_file=str(by_hand.folder / "key_file.json"),
        **{f"{api}_url": url for api, url in by_hand.urls.items()},
    )
    server.start()
    try:
        server.wait_ready()
        body = json.dumps({"model_name": "example", "inputs": [[1], [2], [3]]}).encode()
        with urllib.request.urlopen(f"{server.url}/predict", body, timeout=LIMIT_SECONDS) as answer:
            assert len(json.loads(answer.read())["result"]) == 3
        assert by_hand.ask("/predictions/example", b"[1]")[0] == 200
    finally:
        assert server.stop() == 0
    assert by_hand.ask("/predictions/example", b"[1]")[0] == 200
