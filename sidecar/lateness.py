"""Whether a wait took much longer than it should have.  Pure.

A process that was stopped (SIGSTOP, a paused container, a suspended machine) wakes up to clocks
that have gone on without it.  What it measured across that gap says nothing of others: whoever
acts on their silence looks again first.
"""

LATE_SECONDS = 5.0  # a machine under heavy load is not as late as that


def was_late(meant_seconds: float, took_seconds: float) -> bool:
    """Return whether a wait of *meant_seconds* that *took_seconds* tells of a standstill."""
    return took_seconds - meant_seconds > LATE_SECONDS
