"""When a wait tells of a standstill."""

import pytest

from sidecar.lateness import was_late


@pytest.mark.parametrize(
    ("meant", "took", "late"),
    [(2.0, 2.0, False), (2.0, 6.9, False), (2.0, 7.1, True), (0.02, 33.0, True)],
)
def test_much_longer_than_meant_is_late(meant: float, took: float, late: bool) -> None:
    assert was_late(meant, took) is late
