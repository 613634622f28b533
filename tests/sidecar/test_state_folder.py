"""A state folder has one owner at a time."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.state_folder import StateFolderTaken, own_state_folder
from tests.integration.server import ROOT, free_port
from tests.waiting import LIMIT_SECONDS

OWN = """
import sys
from pathlib import Path
from sidecar.state_folder import own_state_folder
with own_state_folder(Path(sys.argv[1]), "127.0.0.1:8000"):
    print("mine", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that owns the folder."""
    command = [sys.executable, "-c", OWN, str(tmp_path)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "mine\n"
        yield process
        process.kill()


def test_a_second_owner_is_told_who_has_it(owner: subprocess.Popen[str], tmp_path: Path) -> None:
    with pytest.raises(StateFolderTaken) as caught, own_state_folder(tmp_path, "127.0.0.2:8001"):
        pass
    assert f"in use by another server (process {owner.pid} on 127.0.0.1:8000)" in str(caught.value)


def test_a_killed_server_owns_no_state_folder(owner: subprocess.Popen[str], tmp_path: Path) -> None:
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    with own_state_folder(tmp_path, "127.0.0.2:8001"):
        text = (tmp_path / "owner.lock").read_text()
    assert text == f"process {os.getpid()} on 127.0.0.2:8001"
    with own_state_folder(tmp_path, "a"):  # given back
        assert (tmp_path / "owner.lock").read_text() == f"process {os.getpid()} on a"


def test_a_second_server_exits_2_in_one_sentence_and_touches_nothing(
    owner: subprocess.Popen[str], tmp_path: Path
) -> None:
    before = {path: path.read_bytes() for path in tmp_path.rglob("*")}
    environment = os.environ | {"SIDECAR_STATE_DIR": str(tmp_path), "SIDECAR_HOST": "127.0.0.2"}
    second = subprocess.run(
        [sys.executable, "-m", "sidecar", "--port", str(free_port()), "--torchserve", "managed"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert second.returncode == 2
    assert second.stderr.startswith(f"sidecar: the state folder {tmp_path} is in use by another")
    assert f"process {owner.pid} on 127.0.0.1:8000" in second.stderr
    assert second.stderr.count("\n") == 1
    assert {path: path.read_bytes() for path in tmp_path.rglob("*")} == before


def test_the_command_line_tools_work_beside_it(
    owner: subprocess.Popen[str], tmp_path: Path
) -> None:
    environment = os.environ | {"SIDECAR_STATE_DIR": str(tmp_path)}
    for arguments in (
        ["sidecar.access", "key", "create", "--name", "ci"],
        ["sidecar.downloads", "list"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert owner.poll() is None
