"""`python -m tests.attacks.probe PORT PID FILE`: what an attack does to the server, from outside.

A process of its own, so that nothing the attackers do can slow it down.  One thread asks for
/livez on one keep-alive connection, the other reads the memory of the process PID.  Each look
is a line of FILE with a time of the machine's monotonic clock, which all processes share.
"""

import http.client
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple, TextIO

import psutil

PAUSE_SECONDS = 0.01
LIMIT_SECONDS = 60.0


class Look(NamedTuple):
    """One probe of /livez.  *began* is monotonic; not *well*: no answer, or not a 200."""

    began: float
    seconds: float
    well: bool


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
    with file.open("w", buffering=1) as output:
        threading.Thread(target=_watch_memory, args=(pid, output), daemon=True).start()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_SECONDS)
        while True:
            began = time.monotonic()
            well = _is_alive(connection)
            output.write(f"livez {began} {time.monotonic() - began} {int(well)}\n")
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


def _watch_memory(pid: int, output: TextIO) -> None:
    process = psutil.Process(pid)
    while True:
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
            looks.append(Look(float(numbers[0]), float(numbers[1]), numbers[2] == "1"))
        else:
            memory.append(Memory(float(numbers[0]), int(numbers[1])))
    return Readings(looks, memory)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
