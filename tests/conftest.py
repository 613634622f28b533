"""Two processes share the suite: one drives real servers, the other does all else file by file.

Real servers want a core to themselves, and one server serves many tests.
"""

import pytest

FOLDERS_WITH_SERVERS = {"integration", "console", "faults"}


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Says which tests have to run in one process, and starts the longest first."""
    for item in items:
        folder, _, file = item.nodeid.partition("::")[0].removeprefix("tests/").partition("/")
        together = folder in FOLDERS_WITH_SERVERS
        item.add_marker(pytest.mark.xdist_group("servers" if together else f"{folder}/{file}"))
    items.sort(key=lambda item: item.nodeid.split("/")[1] not in FOLDERS_WITH_SERVERS)
