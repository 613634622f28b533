"""The bounded priority queue of one model.  Pure: time is an argument.

An entry's rank is ``enqueued_at + delay - priority * ageing_seconds``, smallest first: a higher
priority goes first, and each *ageing_seconds* of waiting is worth one step of priority,
so that nothing starves.  All entries age alike, so a rank never changes and a heap does.
"""

import heapq
from collections.abc import Iterator, Sequence

from sidecar.errors import QueueFull
from sidecar.scheduling.entry import Entry
from sidecar.scheduling.urgency import URGENT_STEPS


class EntryQueue:
    """Entries in order of rank; those that nobody waits for any more are passed over."""

    def __init__(self, *, max_entries: int, max_bytes: int, ageing_seconds: float) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._ageing_seconds = ageing_seconds
        self._heap: list[tuple[float, int, Entry]] = []
        self._serial = 0
        self.waiting = 0  # entries
        self._bytes = 0

    def __len__(self) -> int:
        return self.waiting

    def __iter__(self) -> Iterator[Entry]:
        return (entry for _, _, entry in self._heap if entry.queued and not entry.abandoned)

    @property
    def first(self) -> Entry | None:
        """The entry that goes next; None when the queue is empty."""
        while self._heap and not self._heap[0][2].queued:
            heapq.heappop(self._heap)
        return self._heap[0][2] if self._heap else None

    def put(self, entries: Sequence[Entry], now: float) -> None:
        """Queue all *entries* or none.  Raises QueueFull."""
        self._check_room(entries)
        for entry in entries:
            entry.enqueued_at = now
            self._push(entry)

    def _check_room(self, entries: Sequence[Entry]) -> None:
        size = sum(entry.size for entry in entries)
        if self.waiting + len(entries) > self._max_entries:
            raise QueueFull(
                f"{self.waiting} wait, the limit is {self._max_entries}", field="inputs"
            )
        if self._bytes + size > self._max_bytes and self.waiting:
            raise QueueFull(
                f"{self._bytes} bytes wait, the limit is {self._max_bytes}", field="inputs"
            )

    def put_back(self, entry: Entry) -> None:
        """Queue *entry* again, at the place that its first arrival gave it."""
        self._push(entry)

    def discard(self, entries: Sequence[Entry]) -> None:
        """Drop those of *entries* that are still queued, as nobody waits for them any more."""
        for entry in entries:
            self._leave(entry)
        if len(self._heap) > 64 and len(self._heap) > 2 * self.waiting:
            self._heap = [item for item in self._heap if item[2].queued]
            heapq.heapify(self._heap)

    def take(
        self, max_entries: int, max_bytes: int, max_with_urgent: int | None = None
    ) -> list[Entry]:
        """Take the next batch: at most *max_entries* and *max_bytes*, but at least one entry.

        An entry that is to be alone comes alone, and all are for one version.  Once the batch has
        *max_with_urgent* entries, it takes none that is less urgent, by URGENT_STEPS or more, than
        the most urgent in it.
        """
        batch: list[Entry] = []
        room = max_bytes
        enough = max_entries if max_with_urgent is None else max_with_urgent
        highest = 0.0
        while self._heap and len(batch) < max_entries:
            entry = self._heap[0][2]
            wanted = entry.queued and not entry.abandoned
            if wanted and batch and (entry.alone or entry.size > room):
                break
            if wanted and batch and entry.version != batch[0].version:
                break
            if wanted and len(batch) >= enough and entry.priority <= highest - URGENT_STEPS:
                break
            heapq.heappop(self._heap)
            self._leave(entry)
            if wanted:
                batch.append(entry)
                room -= entry.size
                highest = max(highest, entry.priority)
                if entry.alone:
                    break
        return batch

    def clear(self) -> list[Entry]:
        """Empty the queue; return the entries that somebody still waits for."""
        waiting = [entry for _, _, entry in self._heap if entry.queued]
        self.discard(waiting)
        self._heap = []
        return waiting

    def _push(self, entry: Entry) -> None:
        rank = entry.enqueued_at + entry.delay - entry.priority * self._ageing_seconds
        heapq.heappush(self._heap, (rank, self._serial, entry))
        self._serial += 1
        self.waiting += 1
        self._bytes += entry.size
        entry.queued = True

    def _leave(self, entry: Entry) -> None:
        if entry.queued:
            entry.queued = False
            self.waiting -= 1
            self._bytes -= entry.size
