"""A peer without a server: a program in a process of its own."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

from benchmarks.peers.environments import HERE
from benchmarks.process_tree import ProcessTree
from benchmarks.servers import QUIET
from benchmarks.turns import NoAnswer


class Took(NamedTuple):
    """When each answer was there, in seconds from the question, and the answers in their order."""

    seconds: list[float]
    answers: list[Any]


class LinePeer:
    """Runs *program*, a file beside this one, with *arguments* until the block ends."""

    def __init__(self, program: str, *arguments: str, python: str = sys.executable) -> None:
        self._command = [python, str(HERE / program), *arguments]
        self._process: subprocess.Popen[str] | None = None

    @property
    def processes(self) -> ProcessTree:
        """The program's."""
        assert self._process is not None
        return ProcessTree(self._process.pid)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | QUIET,
        )
        if self._read() != "ready":
            raise RuntimeError(f"{self._command}: was not ready")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            ProcessTree(self._process.pid).end()
        self._process.communicate()

    def ask(self, inputs: Sequence[Any]) -> Took:
        """Return what the peer made of *inputs*, together.  Raises NoAnswer where it has ended."""
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # what is read tells that it has ended
            self._process.stdin.write(json.dumps(list(inputs)) + "\n")
            self._process.stdin.flush()
        answer = json.loads(self._read())
        if len(answer["seconds"]) != len(inputs):
            raise RuntimeError(f"{self._command[1]}: {len(answer['seconds'])} answers")
        return Took(answer["seconds"], answer["answers"])

    def _read(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise NoAnswer(f"{self._command[1]} has ended: {self._process.poll()}")
        return line
