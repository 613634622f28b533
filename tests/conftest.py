"""Four processes share the suite; each stays, with its servers, on its part of the processors.

On two processors that is two processes to each: while one waits for a server or a clock, the other
works.  Tests that have one server in common stay in one process.  This is ours because xdist's own
groups are not kept under pytest 9.2, where a node id cannot be changed any more.
"""

import os
import sys
import warnings
from collections import Counter
from collections.abc import Generator
from importlib import import_module

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# Figures, answers and time limits of tests are the CPU's, on a machine with a GPU too; servers and
# workers that tests start inherit this.  It has to be said before torch is imported.
os.environ["CUDA_VISIBLE_DEVICES"] = ""

with warnings.catch_warnings():  # as it is imported, it leaves an open file to be collected
    warnings.simplefilter("ignore", ResourceWarning)
    import_module("ts")

# How long an example takes says how busy the machine is.
settings.register_profile(
    "any_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any_machine")

LONGEST_FIRST = [  # what the paths below tests/ begin with
    "integration/",
    "families/",
    "servers/",
    "own_archives/",
    "faults/",
    "attacks/",
    "console/",
    "mistakes/",
    "sidecar/downloads/test_checking.py",
    "handlers/",
]
WITH_ONE_SERVER = {"integration", "families"}


class ByServer(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """A folder whose tests share a server goes to one process as a whole, others file by file."""

    def _split_scope(self, nodeid: str) -> str:
        folder = nodeid.split("/")[1]
        return folder if folder in WITH_ONE_SERVER else file_of(nodeid)


def file_of(nodeid: str) -> str:
    """The file that a test is in."""
    return nodeid.partition("::")[0]


def pytest_configure(config: pytest.Config) -> None:
    """Threads of two servers that wait for each other would take several times as long."""
    worker = getattr(config, "workerinput", None)
    if worker is not None and sys.platform == "linux":
        number, count = int(worker["workerid"].removeprefix("gw")), worker["workercount"]
        processors = sorted(os.sched_getaffinity(0))
        own = processors[number::count] or [processors[number % len(processors)]]
        os.sched_setaffinity(0, own)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape what a test logged that is no UTF-8: a report goes to another process."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByServer:
    return ByServer(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest go first, so that no process waits long for another at the end.

    Of the others, which are all quick, these are the files with the most tests.
    """
    sizes = Counter(file_of(item.nodeid) for item in items)

    def place(item: pytest.Item) -> tuple[int, int]:
        path = file_of(item.nodeid).partition("/")[2]
        for number, start in enumerate(LONGEST_FIRST):
            if path.startswith(start):
                return number, 0
        return len(LONGEST_FIRST), -sizes[file_of(item.nodeid)]

    items.sort(key=place)
