"""When the machine is too full to take more work.  Pure."""

from typing import NamedTuple


class Load(NamedTuple):
    """How full the machine is now; None: not measured."""

    memory_percent: float | None
    gpu_memory_percent: float | None
    queue_depth: int


class Ceiling(NamedTuple):
    """The largest load at which work is taken; None: no limit."""

    memory_percent: float | None
    gpu_memory_percent: float | None
    queue_depth: int | None


NO_CEILING = Ceiling(None, None, None)


def exceeded(ceiling: Ceiling, load: Load) -> str | None:
    """Return which limit is reached, as a sentence; None when none is."""
    for name, limit, value in zip(Ceiling._fields, ceiling, load, strict=True):
        if limit is not None and value is not None and value >= limit:
            return f"{name}: {value:g}, the limit is {limit:g}"
    return None
