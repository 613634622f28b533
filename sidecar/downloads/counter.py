"""How far one download is: counts bytes, reports now and then, stops at the limits."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from sidecar.downloads.messages import FetchProgress, Report
from sidecar.downloads.transfer import check_disk, too_large
from sidecar.settings import MB

REPORT_SECONDS = 0.25
DISK_CHECK_BYTES = 16 * MB


class ProgressCounter:
    """Tells *say* of every step, and of bytes a few times a second."""

    def __init__(
        self,
        say: Callable[[Report], None],
        folder: Path,
        min_free_mb: float,
        max_mb: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._folder = folder
        self._min_free_mb = min_free_mb
        self._max_mb = max_mb
        self._clock = clock
        self._state: Literal["downloading", "converting"] = "downloading"
        self._message = ""
        self._done = 0
        self._total: int | None = None
        self._unchecked = 0
        self._reported = -REPORT_SECONDS

    def begin(self, state: Literal["downloading", "converting"], message: str) -> None:
        """Begin the next step."""
        self._state, self._message = state, message
        self._report()

    def expect(self, size: int) -> None:
        """Add *size* to the bytes that are to come."""
        self._total = (self._total or 0) + size
        self._report()

    def add(self, size: int) -> None:
        """Count *size* bytes more on disk.

        Raises DownloadFailed when the disk becomes too full, or the model too large.
        """
        self._done += size
        if self._done > self._max_mb * MB:
            raise too_large(self._max_mb)
        self._unchecked += size
        if self._unchecked >= DISK_CHECK_BYTES:
            self._unchecked = 0
            check_disk(self._folder, self._min_free_mb)
        if self._clock() - self._reported >= REPORT_SECONDS:
            self._report()

    def _report(self) -> None:
        self._reported = self._clock()
        self._say(
            FetchProgress(
                state=self._state,
                message=self._message,
                done_bytes=max(self._done, 0),
                total_bytes=self._total,
            )
        )
