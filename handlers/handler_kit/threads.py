"""How many threads a worker uses: its share of the available cores, or one if that is faster."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TypeVar

import torch

Given = TypeVar("Given")
Made = TypeVar("Made")

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
SMALL_SECONDS = 0.002  # work that takes one thread less than this is not worth sharing
TIMED_RUNS = 4
CLEARLY = 25  # if a run takes so many times longer than small work, no second run is needed


def limit_threads(workers: int) -> int:
    """Limit torch to this worker's share of the cores.  Return the number of threads."""
    threads = max(1, usable_cores() // workers)
    torch.set_num_threads(threads)
    with suppress(RuntimeError):  # can be set only once per process
        torch.set_num_interop_threads(1)
    return threads


def keep_useful_threads(run: Callable[[], object], threads: int) -> int:
    """Use one thread if *run* is small work even for one.  Return the number of threads in use.

    Small work gains nothing from more threads, which wait for each other on cores that TorchServe
    and the sidecar need: with two, a job of six inputs took four times as long.  Comparing both
    speeds would depend on whatever else is running at that moment.
    """
    if threads == 1 or _best_seconds(run, 1) < SMALL_SECONDS:
        torch.set_num_threads(1)
        return 1
    torch.set_num_threads(threads)
    return threads


@contextmanager
def one_thread(*, only_if: bool = True) -> Iterator[None]:
    """Use one thread within this context if *only_if*, and as many as before afterwards.

    For work in steps too short to share.  On two cores, with the decoder of Whisper tiny.en and
    with hibari's network, a second thread saves a tenth to a quarter of the time, but makes it
    eight times slower while another process uses a core, since the threads wait for each other at
    each of many short steps.
    """
    threads = torch.get_num_threads()
    if threads == 1 or not only_if:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _best_seconds(run: Callable[[], object], threads: int) -> float:
    torch.set_num_threads(threads)
    seconds = []
    for _ in range(TIMED_RUNS):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
        if seconds[-1] > CLEARLY * SMALL_SECONDS:
            break
    return min(seconds)


def each_on_one_thread(work: Callable[[Given], Made], given: Sequence[Given]) -> list[Made]:
    """Return *work* applied to each of *given*, in order; as many at once as torch has threads.

    Each runs on a single thread, so that none waits for another.  Unlike the threads within an
    operation, they are not slowed down by another process that uses a core.  If *work* fails, its
    exception is raised once none is running any more.
    """
    threads = min(torch.get_num_threads(), len(given))
    if threads <= 1:
        with one_thread():
            return [work(each) for each in given]

    def inferred(each: Given) -> Made:
        with torch.inference_mode():  # applies per thread
            return work(each)

    made = [_pool(threads).submit(inferred, each) for each in given]
    wait(made)
    return [each.result() for each in made]


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Return the pool of so many *threads*, which is kept: new threads would take new memory."""
    return ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))


def usable_cores(cgroups: Path = CGROUPS, own_cgroup: Path = OWN_CGROUP) -> int:
    """Return the number of cores that this process may use, considering limits of containers."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min([cores, *_quotas(cgroups, own_cgroup)]))


def parse_cpu_max(text: str) -> int | None:
    """Return the number of whole cores that a cgroup v2 ``cpu.max`` allows; None for no limit.

    "150000 100000" is one core: a quota and a period in microseconds.
    """
    quota, _, period = text.strip().partition(" ")
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return None
    return max(1, int(quota) // int(period))


def _quotas(cgroups: Path, own_cgroup: Path) -> list[int]:
    """Return the limits of this process's cgroup and of its ancestors."""
    folder = cgroups
    with suppress(OSError):
        for line in own_cgroup.read_text().splitlines():
            if line.startswith("0::/"):
                folder = cgroups / line.removeprefix("0::/")
    quotas = []
    for level in (folder, *folder.parents):
        with suppress(OSError):
            quotas.append(parse_cpu_max((level / "cpu.max").read_text()))
        if level == cgroups:
            break
    return [quota for quota in quotas if quota is not None]
