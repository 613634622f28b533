"""How many workers a model should have.  Pure: no clock, no network, no memory."""

import msgspec


class ScalingPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When to change the number of workers.  Times in seconds.

    Up: the first in the queue has waited *up_wait*, or more jobs wait than *up_jobs* for each
    worker.  Down: fewer workers would have done for *down_quiet*.  To zero: nobody has asked for
    *idle_seconds*; None: never.  Between two changes lies at least the cool-down.
    """

    min_workers: int
    max_workers: int
    max_batch_size: int
    up_wait: float = 0.5
    up_jobs: float = 4.0
    down_quiet: float = 60.0
    up_cooldown: float = 5.0
    down_cooldown: float = 30.0
    idle_seconds: float | None = 300.0


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """What one model has to do now.  Times in seconds.

    *first_waits*: how long the first in the queue has; *idle_for*: since anybody asked;
    *quiet_for*: since fewer workers would not have done; *since_change*: of the workers.
    """

    workers: int
    queued: int = 0
    in_flight: int = 0
    first_waits: float = 0.0
    idle_for: float = 0.0
    quiet_for: float = 0.0
    since_change: float = float("inf")


def desired_workers(policy: ScalingPolicy, load: Workload) -> int:
    """Return how many workers *load* calls for; waking from zero is left to requests."""
    if load.workers == 0:
        return 0
    if _is_idle(policy, load):
        return 0
    least = max(policy.min_workers, 1)
    if load.workers < least:
        return least
    if _too_few(policy, load) and load.since_change >= policy.up_cooldown:
        return min(load.workers + 1, policy.max_workers)
    if load.quiet_for >= policy.down_quiet and load.since_change >= policy.down_cooldown:
        return max(load.workers - 1, least)
    return load.workers


def _is_idle(policy: ScalingPolicy, load: Workload) -> bool:
    nothing_to_do = load.queued == load.in_flight == 0
    return (
        nothing_to_do and policy.idle_seconds is not None and load.idle_for >= policy.idle_seconds
    )


def _too_few(policy: ScalingPolicy, load: Workload) -> bool:
    jobs = load.queued / policy.max_batch_size
    return load.first_waits >= policy.up_wait or jobs > policy.up_jobs * load.workers


def fewer_would_do(policy: ScalingPolicy, load: Workload) -> bool:
    """Return whether one worker less would have been enough: nothing waits, and one is idle."""
    jobs = -(-load.in_flight // policy.max_batch_size)
    return load.queued == 0 and jobs < load.workers
