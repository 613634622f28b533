"""The template and the launcher as processes; a program stands for TorchServe's worker."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from sidecar.torchserve.forked_workers import template
from sidecar.torchserve.worker_template import LAUNCHER, PROGRAMS, UNFIT
from tests.waiting import LIMIT_SECONDS, block_until

PROGRAM = """
import json, os, random, sys
import numpy.random
print(json.dumps({
    "arguments": sys.argv, "path": sys.path, "folder": os.getcwd(), "name": __name__,
    "environment": dict(os.environ), "pid": os.getpid(), "parent": os.getppid(),
    "drawn": [random.random(), numpy.random.random()], "descriptors": os.listdir("/proc/self/fd"),
}), flush=True)
line = sys.stdin.readline()
sys.exit(int(line or 0))
"""
MODULES = ("numpy.random",)


class Place:
    """A folder with the program, a model that we built, and the address of a template."""

    def __init__(self, folder: Path) -> None:
        self.program = folder / "program.py"
        self.program.write_text(PROGRAM)
        self.model = folder / "model"
        self.model.mkdir()
        (self.model / "build.json").write_text("{}")
        self.address = folder / "template.sock"
        self.variables = {
            "PATH": os.environ["PATH"],
            "WORKER_PYTHON": sys.executable,
            "WORKER_TEMPLATE_SOCKET": str(self.address),
        }

    def start_template(self, *modules: str, **variables: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(PROGRAMS / "template.py"), str(self.address)]
        return subprocess.Popen(
            [*command, str(self.program), *modules],
            env=self.variables | variables,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def launch(self, folder: Path | None = None, **variables: str) -> subprocess.Popen[str]:
        folder = folder or self.model
        return subprocess.Popen(
            [str(LAUNCHER), str(self.program), "--sock-type", "unix"],
            cwd=folder,
            env=self.variables | {"PYTHONPATH": f"{folder}:"} | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A place whose template runs."""
    place = Place(tmp_path_factory.mktemp("place"))
    with place.start_template(*MODULES) as running:
        block_until(place.address.exists)
        yield place
        running.communicate(timeout=LIMIT_SECONDS)


def told(launched: subprocess.Popen[str]) -> dict[str, object]:
    """What the program says of itself."""
    assert launched.stdout is not None
    found: dict[str, object] = json.loads(launched.stdout.readline())
    return found


def end(launched: subprocess.Popen[str], code: int = 0) -> None:
    launched.communicate(f"{code}\n", timeout=LIMIT_SECONDS)


def process_of(found: dict[str, object]) -> psutil.Process:
    assert isinstance(found["pid"], int)
    return psutil.Process(found["pid"])


def test_a_forked_worker_finds_what_python_would_have_given_it(place: Place) -> None:
    with place.launch() as launched:
        forked = told(launched)
        assert forked["pid"] != launched.pid
        assert process_of(forked).name() == "forked-worker"
        end(launched)
    with place.launch(WORKER_TEMPLATE_SOCKET=f"{place.address}.absent") as launched:
        plain = told(launched)
        assert plain["pid"] == launched.pid
        end(launched)
    for each in (forked, plain):
        environment = each["environment"]
        assert isinstance(environment, dict)
        del environment["WORKER_TEMPLATE_SOCKET"]
        # an empty part of PYTHONPATH is the working directory, which the other part names
        path = each["path"]
        assert isinstance(path, list)
        each["path"] = list(dict.fromkeys(path))
    for what in ("arguments", "path", "folder", "name", "environment"):
        assert forked[what] == plain[what], what


def test_a_forked_worker_holds_nothing_open_of_the_template_and_of_others(place: Place) -> None:
    with place.launch() as other, place.launch() as launched:
        told(other)
        descriptors = told(launched)["descriptors"]
        assert isinstance(descriptors, list)
        # its streams, the tie to its launcher, and the listing itself
        assert len(descriptors) == 5
        end(other)
        end(launched)


def test_forked_workers_draw_different_numbers(place: Place) -> None:
    with place.launch() as one, place.launch() as other:
        drawn = [told(one)["drawn"], told(other)["drawn"]]
        end(one)
        end(other)
    assert isinstance(drawn[0], list)
    assert isinstance(drawn[1], list)
    assert not set(drawn[0]) & set(drawn[1])


@pytest.mark.parametrize("code", [0, 7])
def test_the_launcher_ends_with_the_code_of_its_worker(place: Place, code: int) -> None:
    with place.launch() as launched:
        told(launched)
        end(launched, code)
    assert launched.returncode == code


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_the_launcher_ends_by_the_signal_that_ended_its_worker(
    place: Place, number: signal.Signals
) -> None:
    with place.launch() as launched:
        process_of(told(launched)).send_signal(number)
    assert launched.returncode == -number


def test_a_worker_ends_when_its_launcher_is_killed(place: Place) -> None:
    """As TorchServe ends workers."""
    with place.launch() as launched:
        worker = process_of(told(launched))
        launched.kill()
    worker.wait(LIMIT_SECONDS)


def test_a_stopped_worker_ends_when_its_launcher_is_killed(place: Place) -> None:
    """Nothing in the worker has to run for it."""
    with place.launch() as launched:
        worker = process_of(told(launched))
        worker.suspend()
        launched.kill()
    worker.wait(LIMIT_SECONDS)


def test_the_launcher_passes_sigterm_on(place: Place) -> None:
    with place.launch() as launched:
        worker = process_of(told(launched))
        launched.terminate()
        assert launched.wait(LIMIT_SECONDS) == -signal.SIGTERM
    assert not worker.is_running()


def test_many_launchers_at_once_get_a_worker_each(place: Place) -> None:
    launched = [place.launch() for _ in range(6)]
    pids = {process_of(told(each)).pid for each in launched}
    for each in launched:
        with each:
            end(each)
    assert len(pids - {each.pid for each in launched}) == len(launched)


def test_whoever_asks_for_nonsense_or_leaves_harms_no_other(place: Place) -> None:
    with socket.socket(socket.AF_UNIX) as nonsense, socket.socket(socket.AF_UNIX) as gone:
        nonsense.connect(str(place.address))
        nonsense.sendall(b"GET / HTTP/1.1\r\n\r\n")
        gone.connect(str(place.address))
        gone.close()
        with place.launch() as launched:
            assert told(launched)["pid"] != launched.pid
            end(launched)


@pytest.mark.parametrize(
    ("files", "variables"),
    [
        ([], {}),
        (["build.json", "requirements.txt"], {}),
        (["build.json", "numpy"], {}),
        (["build.json", "json.py"], {}),
        (["build.json"], {"OMP_NUM_THREADS": "1"}),
    ],
    ids=["not ours", "requirements", "a package", "a module", "a variable"],
)
def test_python_starts_what_a_fork_could_not_give_the_same(
    place: Place, tmp_path: Path, files: list[str], variables: dict[str, str]
) -> None:
    for name in files:
        (tmp_path / name).touch()
    arguments = [str(place.program)]
    asked = template.Request(arguments, place.variables | variables, str(tmp_path), [], 0)
    assert template.why_declined(asked, str(place.program), place.variables) is not None


def test_python_takes_the_launchers_place_where_the_template_declines(
    place: Place, tmp_path: Path
) -> None:
    with place.launch(tmp_path) as launched:
        assert told(launched)["pid"] == launched.pid
        end(launched, 3)
    assert launched.returncode == 3


def test_a_worker_whose_folder_is_gone_leaves_the_template_as_it_was(place: Place) -> None:
    asked = template.Request([str(place.program)], place.variables, "/there/is/none", [], 0)
    assert template.fork_for(asked, str(place.program), place.variables) is None


def test_the_launcher_is_python_for_whatever_else_it_is_asked(place: Place) -> None:
    done = subprocess.run(
        [str(LAUNCHER), "-c", "import sys; print(sys.executable)"],
        env=place.variables,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == sys.executable


def test_a_worker_outlives_the_template(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with place.start_template(*MODULES) as running:
        block_until(place.address.exists)
        with place.launch() as launched:
            worker = process_of(told(launched))
            running.communicate(timeout=LIMIT_SECONDS)  # closes its standard input
            assert running.returncode == 0
            assert worker.is_running()
            end(launched)


def test_a_template_in_which_a_thread_runs_forks_nothing(tmp_path: Path) -> None:
    place = Place(tmp_path)
    module = (
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()"
    )
    (tmp_path / "threaded.py").write_text(module)
    with place.start_template("threaded", PYTHONPATH=str(tmp_path)) as running:
        _, said = running.communicate(timeout=LIMIT_SECONDS)
    assert running.returncode == UNFIT
    assert "an import has left 1 threads running" in said


def test_a_template_notices_the_devices_that_an_import_has_opened() -> None:
    with Path("/dev/zero").open("rb"):
        assert template.opened_file(("/dev/nvidia", "/dev/zero")) == "/dev/zero"
    assert template.opened_file(("/dev/zero",)) is None


def test_a_module_that_is_not_installed_is_left_out(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with place.start_template("there_is_no_such_module", *MODULES) as running:
        block_until(place.address.exists)
        _, said = running.communicate(timeout=LIMIT_SECONDS)
    assert "there_is_no_such_module is left out" in said
