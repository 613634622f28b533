"""When TorchServe counts as frozen, and how soon it is started again."""

import pytest

from sidecar.torchserve.supervisor import is_frozen, next_pause


@pytest.mark.parametrize(
    ("now", "answered_at", "frozen"),
    [
        (50.0, None, False),  # it is starting
        (120.0, None, False),
        (120.1, None, True),
        (50.0, 49.0, False),
        (50.0, 20.0, False),
        (50.1, 20.0, True),
    ],
)
def test_silence_is_frozen_and_a_start_has_more_time(
    now: float, answered_at: float | None, frozen: bool
) -> None:
    assert is_frozen(now, 0.0, answered_at) is frozen


def test_pauses_grow_until_it_lives_for_a_while() -> None:
    assert [next_pause(pause, 3.0) for pause in (0.5, 1.0, 20.0, 30.0)] == [1.0, 2.0, 30.0, 30.0]
    assert next_pause(30.0, 60.0) == 0.5
