"""A peer's program in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

HERE = Path(__file__).parent


class Took(NamedTuple):
    """Seconds, without starting and loading, and one answer per input."""

    seconds: float
    answers: list[Any]


class Peer:
    """Runs *program*, a file beside this one, with *arguments* until the block ends."""

    def __init__(self, program: str, *arguments: str, python: str = sys.executable) -> None:
        self._command = [python, str(HERE / program), *arguments]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE"},
        )
        assert self._read() == "ready", self._command
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)

    def ask(self, inputs: Sequence[Any]) -> Took:
        """Return what the peer made of *inputs*, together."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(list(inputs)) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._read())
        if len(answer["answers"]) != len(inputs):
            raise RuntimeError(f"{self._command[1]}: {len(answer['answers'])} answers")
        return Took(answer["seconds"], answer["answers"])

    def _read(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"{self._command[1]} ended: {self._process.poll()}")
        return line


def environment(name: str, folder: Path) -> str:
    """Return the Python of a virtual environment in *folder* that holds what NAME.txt pins."""
    pinned = HERE / f"{name}.txt"
    place = folder / name
    python = place / "bin" / "python"
    done = place / pinned.name
    if not done.exists() or done.read_bytes() != pinned.read_bytes():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "-r", str(pinned)]
        subprocess.run(install, check=True)
        done.write_bytes(pinned.read_bytes())
    return str(python)
