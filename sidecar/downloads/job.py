"""One download as the server sees it, and the file that remembers all of them."""

import logging
from collections.abc import Iterable
from pathlib import Path

import msgspec

from sidecar.downloads.order import Failed, Progress, Wish
from sidecar.records import decoded_record
from sidecar.schemas.downloads import State
from sidecar.whole_file import write_whole

log = logging.getLogger(__name__)

ACTIVE = ("pending", "downloading", "converting")
KEPT = 100  # that have ended


class Job(msgspec.Struct, kw_only=True):
    """A download.  *created_at* and *finished_at* are epoch seconds."""

    id: str
    wish: Wish
    created_at: float
    state: State = "pending"
    message: str = "waiting"
    done_bytes: int = 0
    total_bytes: int | None = None
    error: str | None = None
    finished_at: float | None = None
    seconds_left: float | None = None

    @property
    def active(self) -> bool:
        """Whether it goes on."""
        return self.state in ACTIVE

    @property
    def progress(self) -> float:
        """0–1, of the bytes to fetch."""
        if self.state in ("completed", "converting"):
            return 1.0
        return min(self.done_bytes / self.total_bytes, 1.0) if self.total_bytes else 0.0

    def advance(self, report: Progress, seconds: float, since_bytes: int) -> None:
        """Takes *report* over; *seconds* have passed since *since_bytes* were there."""
        self.state, self.message = report.state, report.message
        self.done_bytes, self.total_bytes = report.done_bytes, report.total_bytes
        self.seconds_left = None
        came = report.done_bytes - since_bytes
        if report.total_bytes is not None and came > 0 and report.state == "downloading":
            self.seconds_left = (report.total_bytes - report.done_bytes) * seconds / came

    def end(self, state: State, message: str, now: float, error: str | None = None) -> None:
        """Its last state."""
        self.state, self.message, self.error = state, message, error
        self.finished_at, self.seconds_left = now, None

    def fail(self, failed: Failed, now: float) -> None:
        """It ended without a model."""
        self.end("failed", "failed", now, failed.error)


def load_jobs(path: Path) -> list[Job]:
    """Return the jobs in *path*; those that had not ended wait again.

    A job that cannot be read is left out, with a line in the log; the others stay.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as exc:
        log.warning("%s: %s; downloads begin anew", path, exc)
        return []
    records = decoded_record(data, list[msgspec.Raw], str(path)) or []
    read = (
        decoded_record(raw, Job, f"{path}: record {number}")
        for number, raw in enumerate(records, start=1)
    )
    jobs = [job for job in read if job is not None]
    for job in jobs:
        if job.active:
            job.state, job.message, job.seconds_left = "pending", "waiting", None
    return jobs


def encode_jobs(jobs: Iterable[Job]) -> bytes:
    """The file's content: those that go on, and the last that have ended."""
    return msgspec.json.encode(sorted(jobs, key=lambda job: (job.active, job.created_at))[-KEPT:])


def write_jobs(path: Path, data: bytes) -> None:
    """Puts them there, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, data)
