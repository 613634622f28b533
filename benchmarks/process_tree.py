"""A server's processes: what they take, and how they stand still while another is measured."""

import contextlib
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil

MIB = 2**20
RESET_PEAK = "5"  # what /proc/PID/clear_refs takes to forget the largest resident size
Result = TypeVar("Result")


class ProcessTree:
    """The processes *pids* and all that they started, as they are at each call."""

    def __init__(self, *pids: int) -> None:
        self._roots = [psutil.Process(pid) for pid in pids]

    def cpu_seconds(self) -> float:
        """Return the processor time so far, with that of children that have ended."""
        return sum(sum(each) for each in self._ask(lambda process: process.cpu_times()[:4]))

    def forget_peak(self) -> None:
        """Let `peak_mib` look at what happens from now on."""
        self._ask(lambda process: _proc(process, "clear_refs").write_text(RESET_PEAK))

    def peak_mib(self) -> float:
        """Return the most memory that was taken since `forget_peak`.

        What processes share counts once: each one's proportional share now, and what it had
        resident at its peak beyond what it has now.
        """
        return sum(self._ask(_peak_bytes)) / MIB

    def resident_mib(self) -> float:
        """Return what the processes have in memory now; what they share counts for each."""
        return sum(self._ask(lambda process: int(process.memory_info().rss))) / MIB

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """Stop the processes inside the block: an idle server polls, and would be measured too."""
        processes = self._processes()
        _send(processes, signal.SIGSTOP)
        try:
            yield
        finally:
            _send(processes, signal.SIGCONT)

    def end(self, seconds: float = 20.0) -> None:
        """Ask all to end, and kill those that have not after *seconds*."""
        processes = self._processes()
        _send(processes, signal.SIGTERM)
        _, alive = psutil.wait_procs(processes, timeout=seconds)
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=seconds)

    def _processes(self) -> list[psutil.Process]:
        found = []
        for root in self._roots:
            with contextlib.suppress(psutil.NoSuchProcess):
                found += [root, *root.children(recursive=True)]
        return found

    def _ask(self, what: Callable[[psutil.Process], Result]) -> list[Result]:
        """Return *what* each process says; one may end between two looks."""
        found = []
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
                found.append(what(process))
        return found


def _send(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for each in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.send_signal(number)


def own_cpu_seconds(process: psutil.Process) -> float:
    """Return the processor time of *process* alone."""
    times = process.cpu_times()
    return float(times.user + times.system)


def _peak_bytes(process: psutil.Process) -> int:
    facts = _numbers(_proc(process, "status"))
    shared = _numbers(_proc(process, "smaps_rollup"))
    if "VmHWM" not in facts:  # it has ended, and waits for its parent to hear so
        return 0
    return (shared["Pss"] + facts["VmHWM"] - facts["VmRSS"]) * 1024


def _numbers(path: Path) -> dict[str, int]:
    """Return the fields of *path* that are in kB."""
    pairs = (line.partition(":") for line in path.read_text().splitlines())
    return {name: int(value.split()[0]) for name, _, value in pairs if value.endswith(" kB")}


def _proc(process: psutil.Process, name: str) -> Path:
    return Path("/proc", str(process.pid), name)
