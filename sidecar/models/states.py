"""The states of a model, how one may follow another, and what each means for its queue.  Pure.

The table `TRANSITIONS` is the whole of a model's life.  `Model` alone moves along it.
"""

from collections.abc import Mapping
from enum import Enum, StrEnum


class IllegalTransition(RuntimeWarning):
    """A model was moved between two states that the table does not connect.

    It is a warning because a running server logs it, counts it and goes on; the tests turn
    every warning into an error.
    """


class State(StrEnum):
    """Where a model stands.  Several of these are one state to clients, see `shown`."""

    DISABLED = "disabled"  # models.json says so
    AVAILABLE = "available"  # in the catalog, without an archive
    DOWNLOADING = "downloading"  # its archive is on its way
    ARCHIVED = "archived"  # in the model store, not in memory; a request wakes it
    LOADING = "loading"  # unasked; requests are refused meanwhile
    WAKING = "waking"  # it is loaded because requests wait for it
    READY = "ready"  # its READY workers take jobs
    PAUSED = "paused"  # ready, but no job is sent while its workers are being changed
    RESTARTING = "restarting"  # its workers died, and TorchServe starts them again
    IDLE = "idle"  # registered, with zero workers; a request wakes it
    FAILED = "failed"  # it could not be loaded; it is tried again later
    REMOVING = "removing"  # it is taken out, to be deleted or to be replaced by a download
    REMOVED = "removed"  # the end: it has left the program, or the program stops

    @property
    def shown(self) -> str:
        """The state as clients see it."""
        return _SHOWN.get(self, self.value)


_SHOWN: Mapping[State, str] = {
    State.WAKING: "loading",
    State.RESTARTING: "loading",
    State.PAUSED: "ready",
    State.REMOVING: "archived",
    State.REMOVED: "archived",
}


class Gate(Enum):
    """What happens to the entries of a model's queue."""

    OPEN = "open"  # they are taken, and sent
    HELD = "held"  # they are taken, and wait
    CLOSED = "closed"  # they are refused, those that wait too


GATES: Mapping[State, Gate] = {
    State.DISABLED: Gate.CLOSED,
    State.AVAILABLE: Gate.CLOSED,
    State.DOWNLOADING: Gate.CLOSED,
    State.ARCHIVED: Gate.HELD,
    State.LOADING: Gate.CLOSED,
    State.WAKING: Gate.HELD,
    State.READY: Gate.OPEN,
    State.PAUSED: Gate.HELD,
    State.RESTARTING: Gate.HELD,
    State.IDLE: Gate.HELD,
    State.FAILED: Gate.CLOSED,
    State.REMOVING: Gate.CLOSED,
    State.REMOVED: Gate.CLOSED,
}

# Every state but the last may be followed by REMOVED: the program may stop at any moment.
TRANSITIONS: Mapping[State, frozenset[State]] = {
    state: followers | {State.REMOVED}
    for state, followers in {
        State.DISABLED: frozenset[State](),
        State.AVAILABLE: frozenset(
            {
                State.DOWNLOADING,
                State.ARCHIVED,  # somebody built its archive, or there is no room to try
                State.LOADING,  # it is wanted: TorchServe's own store may have an archive
                State.READY,  # TorchServe had loaded it before the program began
                State.RESTARTING,  # the same, but its workers are not READY just now
                State.FAILED,  # the same, but they do not become READY
                State.REMOVING,
            }
        ),
        State.DOWNLOADING: frozenset({State.AVAILABLE, State.REMOVING}),
        State.ARCHIVED: frozenset(
            {
                State.AVAILABLE,
                State.LOADING,
                State.WAKING,
                State.READY,  # TorchServe had loaded it before the program began
                State.RESTARTING,  # the same, but its workers are not READY just now
                State.FAILED,  # the same, but they do not become READY
                State.REMOVING,
            }
        ),
        State.LOADING: frozenset(
            {
                State.AVAILABLE,  # TorchServe has no archive of it
                State.ARCHIVED,  # there is no room for it
                State.WAKING,
                State.READY,
                State.RESTARTING,
                State.IDLE,  # it makes room for another before it is there
                State.FAILED,
                State.REMOVING,
            }
        ),
        State.WAKING: frozenset(
            {
                State.AVAILABLE,
                State.ARCHIVED,
                State.LOADING,  # TorchServe went away meanwhile
                State.READY,
                State.RESTARTING,
                State.IDLE,  # TorchServe went away meanwhile, and it makes room for another
                State.FAILED,
                State.REMOVING,
            }
        ),
        State.READY: frozenset(
            {
                State.PAUSED,
                State.RESTARTING,
                State.IDLE,  # somebody else told TorchServe to end its workers
                State.LOADING,  # TorchServe went away, or has lost it
                State.ARCHIVED,  # the same, and it is not wanted any more
                State.FAILED,
                State.REMOVING,
            }
        ),
        State.PAUSED: frozenset(
            {
                State.READY,
                State.LOADING,  # its changed archive did not take its own place
                State.IDLE,
                State.ARCHIVED,
                State.REMOVING,
            }
        ),
        State.RESTARTING: frozenset(
            {
                State.READY,
                State.LOADING,
                State.WAKING,
                State.IDLE,  # it makes room for another
                State.ARCHIVED,
                State.FAILED,
                State.REMOVING,
            }
        ),
        State.IDLE: frozenset({State.WAKING, State.ARCHIVED, State.REMOVING}),
        State.FAILED: frozenset(
            {
                State.LOADING,
                State.WAKING,
                State.RESTARTING,  # another version, which is READY, became the default
                State.ARCHIVED,
                State.REMOVING,
            }
        ),
        State.REMOVING: frozenset(
            {
                State.AVAILABLE,
                State.ARCHIVED,  # its files could not be deleted
            }
        ),
    }.items()
} | {State.REMOVED: frozenset()}

MISSING = frozenset({State.AVAILABLE, State.DOWNLOADING})  # there is no archive
SLEEPING = frozenset({State.ARCHIVED, State.IDLE})  # a request wakes it
STARTING = frozenset({State.LOADING, State.WAKING, State.RESTARTING})  # its workers start
LOADED = frozenset({State.READY, State.PAUSED})
IN_MEMORY = STARTING | LOADED  # it holds memory, or is about to
NOT_IN_TORCHSERVE = MISSING | {State.DISABLED, State.ARCHIVED, State.REMOVING, State.REMOVED}


def may_follow(before: State, after: State) -> bool:
    """Return whether a model may go from *before* to *after*."""
    return after in TRANSITIONS[before]
