"""What was started and written in a workspace is gone after it, however it ended."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from benchmarks.workspace import workspace
from tests.waiting import LIMIT_SECONDS, block_until

# Leaves a process behind whose parent is gone; it ignores SIGTERM as long as it stands still.
ORPHAN = "import subprocess; print(subprocess.Popen(['sleep', '60'], stdout=2).pid)"
# It heeds SIGINT also where these tests run in the background of a shell, which ignores it.
PROGRAM = f"""
import signal, subprocess, sys, time
from pathlib import Path
from benchmarks.workspace import workspace

signal.signal(signal.SIGINT, signal.default_int_handler)
with workspace() as folder:
    orphan = subprocess.check_output([sys.executable, "-c", {ORPHAN!r}], text=True).strip()
    Path(folder, "file").write_text("x")
    print(orphan, folder, flush=True)
    time.sleep(60)
"""


def test_orphans_that_stand_still_are_ended_and_the_folder_is_removed_after_a_failure() -> None:
    before = psutil.Process().children(recursive=True)
    with contextlib.suppress(ZeroDivisionError), workspace() as folder:
        command = [sys.executable, "-c", ORPHAN]
        orphan = psutil.Process(int(subprocess.check_output(command)))
        orphan.suspend()
        assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(folder)
        (folder / "file").write_text("x")
        raise ZeroDivisionError
    assert not orphan.is_running()
    assert not folder.exists()
    assert tempfile.gettempdir() != str(folder)
    assert os.environ.get("TMPDIR") != str(folder)
    assert psutil.Process().children(recursive=True) == before


def test_processes_from_before_are_left_alone() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        with workspace():
            pass
        assert process.poll() is None
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_nothing_remains_after_a_signal(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        orphan, folder = process.stdout.readline().split()
        process.send_signal(number)
        _, error = process.communicate(timeout=LIMIT_SECONDS)
    assert f"KeyboardInterrupt: {number.name}" in error
    block_until(lambda: not psutil.pid_exists(int(orphan)))
    assert not Path(folder).exists()
