"""One download as the server sees it, and the file in which all of them are kept."""

import logging
from collections.abc import Iterable
from pathlib import Path

import msgspec

from sidecar.downloads.messages import DownloadTarget, FetchFailed, FetchProgress
from sidecar.durable_files import decoded_record, write_whole
from sidecar.schemas.downloads import State

log = logging.getLogger(__name__)

ACTIVE = ("pending", "downloading", "converting")
KEPT = 100  # that have ended


class DownloadRecord(msgspec.Struct, kw_only=True):
    """One download.  *created_at* and *finished_at* are epoch seconds."""

    id: str
    target: DownloadTarget = msgspec.field(name="wish")  # the name that it has in the file
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
        """Whether it has not ended yet."""
        return self.state in ACTIVE

    @property
    def progress(self) -> float:
        """The share of the bytes that has arrived, 0–1."""
        if self.state in ("completed", "converting"):
            return 1.0
        return min(self.done_bytes / self.total_bytes, 1.0) if self.total_bytes else 0.0

    def advance(self, report: FetchProgress, seconds: float, since_bytes: int) -> None:
        """Take over what *report* says, and estimate the time left.

        *seconds* have passed since *since_bytes* had arrived.
        """
        self.state, self.message = report.state, report.message
        self.done_bytes, self.total_bytes = report.done_bytes, report.total_bytes
        self.seconds_left = None
        came = report.done_bytes - since_bytes
        if report.total_bytes is not None and came > 0 and report.state == "downloading":
            self.seconds_left = (report.total_bytes - report.done_bytes) * seconds / came

    def end(self, state: State, message: str, now: float, error: str | None = None) -> None:
        """Set the final state."""
        self.state, self.message, self.error = state, message, error
        self.finished_at, self.seconds_left = now, None

    def fail(self, failed: FetchFailed, now: float) -> None:
        """End without a model."""
        self.end("failed", "failed", now, failed.error)


def load_records(path: Path) -> list[DownloadRecord]:
    """Return the downloads in *path*; those that had not ended are pending again.

    A record that cannot be read is left out, with a line in the log; the others stay.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as exc:
        log.warning("%s: %s; downloads begin anew", path, exc)
        return []
    raw_records = decoded_record(data, list[msgspec.Raw], str(path)) or []
    read = (
        decoded_record(raw, DownloadRecord, f"{path}: record {number}")
        for number, raw in enumerate(raw_records, start=1)
    )
    records = [record for record in read if record is not None]
    for record in records:
        if record.active:
            record.state, record.message, record.seconds_left = "pending", "waiting", None
    return records


def encode_records(records: Iterable[DownloadRecord]) -> bytes:
    """Return the file's content: all that are active, and the newest that have ended."""
    return msgspec.json.encode(
        sorted(records, key=lambda record: (record.active, record.created_at))[-KEPT:]
    )


def write_records(path: Path, data: bytes) -> None:
    """Write *data* to *path*, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, data)
