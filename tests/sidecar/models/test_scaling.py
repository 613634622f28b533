"""How many workers a load calls for: a table."""

from typing import Any

import pytest

from sidecar.models.scaling import (
    ScalingPolicy,
    Workload,
    desired_workers,
    fewer_would_do,
)

POLICY = ScalingPolicy(min_workers=1, max_workers=4, max_batch_size=8)
NEVER = ScalingPolicy(min_workers=1, max_workers=4, max_batch_size=8, idle_seconds=None)
TWO = ScalingPolicy(min_workers=2, max_workers=4, max_batch_size=8)


@pytest.mark.parametrize(
    ("policy", "load", "workers"),
    [
        (POLICY, {"workers": 0}, 0),
        (POLICY, {"workers": 0, "queued": 9, "first_waits": 9}, 0),  # a request wakes it
        (POLICY, {"workers": 1}, 1),
        (POLICY, {"workers": 1, "idle_for": 299}, 1),
        (POLICY, {"workers": 1, "idle_for": 300}, 0),
        (POLICY, {"workers": 3, "idle_for": 300}, 0),
        (POLICY, {"workers": 1, "idle_for": 300, "queued": 1}, 1),
        (POLICY, {"workers": 1, "idle_for": 300, "in_flight": 1}, 1),
        (NEVER, {"workers": 1, "idle_for": 1e9}, 1),
        (TWO, {"workers": 1}, 2),
        (TWO, {"workers": 1, "since_change": 0}, 2),
        (POLICY, {"workers": 1, "queued": 1, "first_waits": 0.5}, 2),
        (POLICY, {"workers": 1, "queued": 1, "first_waits": 0.4}, 1),
        (POLICY, {"workers": 1, "queued": 32}, 1),
        (POLICY, {"workers": 1, "queued": 33}, 2),
        (POLICY, {"workers": 2, "queued": 33}, 2),
        (POLICY, {"workers": 4, "queued": 999, "first_waits": 9}, 4),
        (POLICY, {"workers": 1, "queued": 99, "first_waits": 9, "since_change": 4.9}, 1),
        (POLICY, {"workers": 1, "queued": 99, "first_waits": 9, "since_change": 5.0}, 2),
        (POLICY, {"workers": 3, "quiet_for": 59}, 3),
        (POLICY, {"workers": 3, "quiet_for": 60}, 2),
        (POLICY, {"workers": 3, "quiet_for": 60, "since_change": 29}, 3),
        (POLICY, {"workers": 1, "quiet_for": 60}, 1),
        (TWO, {"workers": 2, "quiet_for": 60}, 2),
    ],
)
def test_the_number_of_workers_follows_the_load(
    policy: ScalingPolicy, load: dict[str, Any], workers: int
) -> None:
    assert desired_workers(policy, Workload(**load)) == workers


@pytest.mark.parametrize(
    ("load", "would_do"),
    [
        ({"workers": 2}, True),
        ({"workers": 2, "in_flight": 8}, True),  # one job
        ({"workers": 2, "in_flight": 9}, False),
        ({"workers": 2, "queued": 1}, False),
        ({"workers": 1, "in_flight": 1}, False),
    ],
)
def test_a_worker_is_surplus_if_one_is_idle_and_nothing_waits(
    load: dict[str, Any], would_do: bool
) -> None:
    assert fewer_would_do(POLICY, Workload(**load)) is would_do
