"""What the fetching process is told, and what it reports: one JSON line each."""

from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from sidecar.catalog.downloaded import Downloaded
from sidecar.schemas.model_spec import ModelSpec, Name, Source
from sidecar.settings import Settings

PARTIAL = "downloads"  # below the state folder: what has arrived, until it is whole


class DownloadFailed(RuntimeError):
    """A model cannot be downloaded; the message is a sentence for people."""


class DownloadInterrupted(DownloadFailed):
    """A host was away, or the connection broke off: the next try goes on with what arrived."""


class DownloadTarget(msgspec.Struct, frozen=True, kw_only=True):
    """Which model is wanted.  *spec* is the catalog's; without it, the model's config decides.

    *config* are fields of a models.json entry, *options* are handler options, and both win
    over what was decided.
    """

    key: Name  # also the name of its folder
    source: Source
    model_id: str
    name: str
    spec: ModelSpec | None = None
    task: str | None = None
    revision: str | None = None
    sha256: str | None = None
    must_speak: bool = False
    vocoder: str | None = None  # a hub id; "" means the usual one for this kind of model
    config: dict[str, Any] = {}
    options: dict[str, Any] = {}
    max_mb: float | None = None

    def is_same(self, other: "DownloadTarget") -> bool:
        """Return whether both are for the same files; the first one's limit does not matter."""
        return msgspec.structs.replace(self, max_mb=None) == msgspec.structs.replace(
            other, max_mb=None
        )

    @property
    def shown_id(self) -> str:
        """*model_id* for everybody: an address without what may be secret in it.

        An address that cannot be taken apart shows nothing of itself.
        """
        if self.source != "url":
            return self.model_id
        try:
            parts = urlsplit(self.model_id)
        except ValueError:
            return "(no web address)"
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class DownloadSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator decides: where files may come from and where they go, and how much."""

    state_dir: Path
    model_store: Path
    models_file: Path
    endpoint: str | None
    token: str | None
    hosts: tuple[str, ...]
    local_dir: Path | None
    max_mb: float
    min_free_mb: float


class FetchTask(msgspec.Struct, frozen=True, kw_only=True):
    """All that the process needs.  It goes through a pipe, so that the token is in no argument."""

    target: DownloadTarget
    place: DownloadSettings


class FetchProgress(msgspec.Struct, frozen=True, kw_only=True, tag="progress"):
    """How far it is.  *total_bytes* is None while nobody knows."""

    state: Literal["downloading", "converting"]
    message: str
    done_bytes: int
    total_bytes: int | None


class FetchDone(msgspec.Struct, frozen=True, tag="done"):
    """The archive is in the model store, the record in the registry."""

    record: Downloaded


class FetchFailed(msgspec.Struct, frozen=True, tag="failed"):
    """The download failed; the message is a sentence that says why.

    *kept*: what has arrived stays on the disk, for the next try or because it is another's.
    """

    error: str
    kept: bool = False


Report = FetchProgress | FetchDone | FetchFailed


def download_settings(settings: Settings) -> DownloadSettings:
    """Return what *settings* say about downloads, with absolute paths."""
    return DownloadSettings(
        state_dir=settings.state_dir.resolve(),
        model_store=settings.model_store.resolve(),
        models_file=settings.models_file.resolve(),
        endpoint=settings.hub_endpoint,
        token=settings.hub_token,
        hosts=settings.download_hosts,
        local_dir=settings.local_models_dir.resolve() if settings.local_models_dir else None,
        max_mb=settings.max_download_mb,
        min_free_mb=settings.min_free_disk_mb,
    )


def encode_path(value: Any) -> Any:
    """Return a path as text; a hook of msgspec's encoder."""
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError


def decode_path(kind: type, value: Any) -> Any:
    """Return text as a path; a hook of msgspec's decoder."""
    return kind(value)
