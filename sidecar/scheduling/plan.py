"""What a runner answers when its dispatcher asks how many jobs to send."""

from typing import NamedTuple


class Plan(NamedTuple):
    """How many jobs to send now.  If there are none, look again after *pause* seconds.

    Without a pause, look again when an entry has come or a job has ended.
    """

    jobs: int
    pause: float | None = None


WAIT = Plan(0)
