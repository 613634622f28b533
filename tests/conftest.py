"""Two processes share the suite: tests with one server in common stay in one of them.

Written for us because xdist's own `loadgroup` finds no groups under pytest 9.2, where a node id
cannot be changed any more.
"""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

LONGEST_FIRST = ["integration", "families", "faults", "console", "handlers"]
WITH_ONE_SERVER = {"integration", "families"}


class ByServer(LoadScopeScheduling):
    """A folder whose tests share a server goes to one process as a whole, others file by file."""

    def _split_scope(self, nodeid: str) -> str:
        folder = folder_of(nodeid)
        return folder if folder in WITH_ONE_SERVER else nodeid.partition("::")[0]


def folder_of(nodeid: str) -> str:
    """The folder of tests/ that a test is in."""
    return nodeid.split("/")[1]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByServer:
    return ByServer(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest go first, so that neither process waits long for the other at the end."""
    order = {folder: place for place, folder in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(folder_of(item.nodeid), len(order)))
