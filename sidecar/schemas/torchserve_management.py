"""The parameters and answers of TorchServe's management API, under TorchServe's names."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

MOST_WORKERS = 64
Workers = Annotated[int, Meta(ge=0, le=MOST_WORKERS)]


class RegisterArchive(msgspec.Struct, frozen=True):
    """POST /models.  As in TorchServe, a number below 1 stands for the value in the archive.

    *url* is the name of an archive in the model store.  Times are in seconds, *max_batch_delay* in
    milliseconds.
    """

    url: str | None = None
    model_name: str | None = None
    handler: str | None = None
    runtime: str | None = None
    batch_size: int = -1
    max_batch_delay: int = -1
    initial_workers: Annotated[int, Meta(le=MOST_WORKERS)] = 0
    synchronous: bool = True
    response_timeout: int = -1
    startup_timeout: int = -1
    s3_sse_kms: bool = False

    def inference(self) -> dict[str, Any]:
        """Return the values that replace those of the archive, by their names in models.json."""
        said = {
            "batch_size": self.batch_size,
            "batch_delay_ms": self.max_batch_delay,
            "job_timeout_seconds": self.response_timeout,
            "startup_timeout_seconds": self.startup_timeout,
        }
        return {name: value for name, value in said.items() if value > 0}


class ScaleWorkers(msgspec.Struct, frozen=True):
    """PUT /models/{name}.  *max_worker* defaults to *min_worker*."""

    min_worker: Workers = 1
    max_worker: Workers | None = None
    synchronous: bool = False
    model_version: str | None = None


class ListArchives(msgspec.Struct, frozen=True):
    """GET /models"""

    limit: int = 100
    next_page_token: int = 0


class DescribeArchive(msgspec.Struct, frozen=True):
    """GET /models/{name}"""

    customized: bool = False


class ManagementStatus(msgspec.Struct):
    """A sentence that says what was done."""

    status: str


class ListedArchive(msgspec.Struct, rename="camel"):
    """A model, and its archive in the model store."""

    model_name: str
    model_url: str


class ArchiveListing(msgspec.Struct, rename="camel", omit_defaults=True):
    """A page of the models, sorted by name.  With *next_page_token* there may be more."""

    models: list[ListedArchive]
    next_page_token: str | None = None


class JobQueueStatus(msgspec.Struct, rename="camel"):
    """How many requests wait in the queue, and how many more fit."""

    remaining_capacity: int
    pending_requests: int


class DescribedArchive(msgspec.Struct, rename="camel"):
    """One version of a model.  *workers* are described by TorchServe; none while it sleeps.

    While the model is not loaded, what only TorchServe knows has TorchServe's default.
    """

    model_name: str
    model_version: str
    model_url: str
    min_workers: int
    max_workers: int
    batch_size: int
    max_batch_delay: int
    response_timeout: int
    startup_timeout: int
    loaded_at_startup: bool
    job_queue_status: JobQueueStatus
    runtime: str = "python"
    max_retry_timeout_in_sec: int = 300
    client_timeout_in_mills: int = 0
    parallel_type: str = ""
    parallel_level: int = 0
    device_type: str = "cpu"
    continuous_batching: bool = False
    use_job_ticket: bool = False
    use_venv: bool = False
    stateful: bool = False
    sequence_max_idle_m_sec: int = msgspec.field(default=0, name="sequenceMaxIdleMSec")
    sequence_timeout_m_sec: int = msgspec.field(default=0, name="sequenceTimeoutMSec")
    max_num_sequence: int = 1
    max_sequence_job_queue_size: int = 1
    workers: list[dict[str, Any]] = []
