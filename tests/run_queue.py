"""How long threads wanted a processor and had none: what a busy machine adds to a measured time.

Linux counts this for every thread.  A time by the clock, less these waits, is about the same
whether a test has the machine to itself or shares it: what remains is time in which a thread
computed, slept, or waited for a lock, and that is the program's own doing.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

UNKNOWN = "this system does not tell how long threads wait for a processor"
OWN_THREAD = "/proc/thread-self/schedstat"


class ThreadTimes(NamedTuple):
    """For how many seconds a thread has computed, and waited for a processor, since it began."""

    ran: float
    waited: float


NONE = ThreadTimes(0.0, 0.0)


def are_counted() -> bool:
    """Return whether the system counts the waits of threads."""
    return Path(OWN_THREAD).exists()


class ProcessorWaits:
    """What a busy machine adds to the time in which the process *pid* answers this thread."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.restart()

    def restart(self) -> None:
        """Count from now on."""
        self._asker = _times_in(OWN_THREAD)
        self._threads = _threads(self._pid)

    def held_up(self, seconds: float) -> float:
        """Return for how many of the *seconds* since the start either side lacked a processor.

        For the process these are the waits of its main thread, and those of the other thread that
        waited most: it may have held the interpreter's lock, for which the main thread sleeps.
        What any one of the threads computed meanwhile is never taken off.  Where waits are not
        counted, there are none.
        """
        threads = {
            thread: _difference(now, self._threads.get(thread, NONE))
            for thread, now in _threads(self._pid).items()
        }
        computed = max((each.ran for each in threads.values()), default=0.0)
        main = threads.pop(self._pid, NONE)
        others = max((each.waited for each in threads.values()), default=0.0)
        asker = _difference(_times_in(OWN_THREAD), self._asker)
        return max(0.0, min(main.waited + others + asker.waited, seconds - computed))


def _threads(pid: int) -> Mapping[int, ThreadTimes]:
    """The times of each thread of the process *pid*, by its id."""
    folder = f"/proc/{pid}/task"
    try:
        names = os.listdir(folder)  # noqa: PTH208  quicker: this is read a hundred times a second
    except OSError:
        return {}
    return {int(name): _times_in(f"{folder}/{name}/schedstat") for name in names}


def _times_in(file: str) -> ThreadTimes:
    """The times that *file* tells; none, if its thread has ended."""
    try:
        with open(file, "rb", buffering=0) as opened:  # noqa: PTH123  quicker
            ran, waited, _ = opened.read().split()
    except OSError:
        return NONE
    return ThreadTimes(int(ran) / 1e9, int(waited) / 1e9)


def _difference(now: ThreadTimes, before: ThreadTimes) -> ThreadTimes:
    return ThreadTimes(now.ran - before.ran, now.waited - before.waited)
