"""`python -m tests.attacks.probe PORT PID FILE`: what an attack does to the server, from outside.

A process of its own, so that nothing the attackers do can slow it down: it asks for /livez on one
keep-alive connection.  A child of it reads the memory of the process PID.  Each look is a line of
FILE with a time of the machine's monotonic clock, which all processes share.
"""

import http.client
import os
import sys
import time
from pathlib import Path
from typing import NamedTuple, TextIO

import psutil

from tests.run_queue import ProcessorWaits

PAUSE_SECONDS = 0.01
LIMIT_SECONDS = 60.0


class Look(NamedTuple):
    """One probe of /livez.  *began* is monotonic; not *well*: no answer, or not a 200.

    For *held_up* of its *seconds* the server or the probe wanted a processor and had none: that
    part is the doing of whatever else runs on the machine.
    """

    began: float
    seconds: float
    well: bool
    held_up: float = 0.0

    @property
    def own_seconds(self) -> float:
        """The part that is the server's own doing."""
        return self.seconds - self.held_up


class Memory(NamedTuple):
    """The server's resident memory at one moment."""

    at: float
    bytes: int


class Readings(NamedTuple):
    """All that one probe wrote."""

    looks: list[Look]
    memory: list[Memory]


def main(port: int, pid: int, file: Path) -> None:
    """Probe until this process is ended."""
    with file.open("a", buffering=1) as output:
        probe = os.getpid()
        if os.fork() == 0:  # a thread would hold up this one
            _watch_memory(pid, output, probe)
            os._exit(0)
        waits = ProcessorWaits(pid)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_SECONDS)
        while True:
            waits.restart()
            began = time.monotonic()
            well = _is_alive(connection)
            seconds = time.monotonic() - began
            output.write(f"livez {began} {seconds} {int(well)} {waits.held_up(seconds)}\n")
            time.sleep(PAUSE_SECONDS)


def _is_alive(connection: http.client.HTTPConnection) -> bool:
    try:
        connection.request("GET", "/livez")
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        connection.close()  # the next request opens it again
        return False
    return answer.status == 200


def _watch_memory(pid: int, output: TextIO, parent: int) -> None:
    """Read it until the process *pid*, or this one's *parent*, is gone."""
    process = psutil.Process(pid)
    while os.getppid() == parent:
        try:
            size = process.memory_info().rss
        except psutil.NoSuchProcess:
            return
        output.write(f"memory {time.monotonic()} {size}\n")
        time.sleep(PAUSE_SECONDS)


def read(file: Path) -> Readings:
    """What a probe has written to *file*, but for a line that is not whole yet."""
    looks, memory = [], []
    for line in file.read_text().rpartition("\n")[0].splitlines():
        kind, *numbers = line.split()
        if kind == "livez":
            began, seconds, well, held_up = numbers
            looks.append(Look(float(began), float(seconds), well == "1", float(held_up)))
        else:
            memory.append(Memory(float(numbers[0]), int(numbers[1])))
    return Readings(looks, memory)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
