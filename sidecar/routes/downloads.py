"""/models/download and below: models from elsewhere.  What changes things needs scope `admin`."""

import asyncio
from dataclasses import dataclass

import msgspec
from aiohttp import web

from sidecar.catalog.downloaded import Downloaded
from sidecar.downloads.manager import DownloadManager
from sidecar.downloads.messages import DownloadTarget
from sidecar.downloads.record import DownloadRecord
from sidecar.errors import ModelInUse, ModelNotFound
from sidecar.models.registry import ModelRegistry
from sidecar.models.states import IN_MEMORY, State
from sidecar.schemas.downloads import (
    DownloadAccepted,
    DownloadedInfo,
    DownloadInfo,
    DownloadRequest,
    Downloads,
    DownloadStatus,
    Removed,
    RemoveQuery,
)
from sidecar.schemas.model_spec import ModelSpec, folded
from sidecar.settings import MB
from sidecar.web.admission import ADMISSION
from sidecar.web.body import read_change, read_query
from sidecar.web.route import Route, json_response

_request = msgspec.json.Decoder(DownloadRequest)


@dataclass(frozen=True, slots=True)
class DownloadParts:
    """What fetches models, and where they go."""

    downloads: DownloadManager
    models: ModelRegistry


PARTS = web.AppKey("downloads", DownloadParts)


async def download(request: web.Request) -> web.Response:
    """Begin a download, or answer with the one under way."""
    asked = await read_change(request[ADMISSION], _request)
    target, record = await request.app[PARTS].downloads.ask(asked)
    size = _size_mb(target, record)
    return json_response(
        DownloadAccepted(
            success=True,
            download_id=record.id if record else None,
            message=_message(target, record),
            model_name=target.key,
            source=target.source,
            model_id=target.shown_id,
            status=record.state if record else "already_exists",
            estimated_time=_rounded(record.seconds_left) if record else 0.0,
            download_info=DownloadInfo(
                download_id=record.id if record else None,
                model_type=target.spec.task if target.spec else target.task,
                description=target.spec.description if target.spec else None,
                estimated_size_mb=size,
                supports_voice_cloning=_clones_voices(target.spec),
                vocoder_included=target.vocoder is not None,
                vocoder_models=[target.vocoder] if target.vocoder else [],
            ),
            error=None,
        )
    )


async def download_status(request: web.Request) -> web.Response:
    """Answer with a download's progress."""
    record = request.app[PARTS].downloads.record(request.match_info["id"])
    return json_response(_status(record))


async def downloads(request: web.Request) -> web.Response:
    """Answer with all downloads that are remembered."""
    records = request.app[PARTS].downloads.records.values()
    ordered = sorted(records, key=lambda record: record.created_at, reverse=True)
    active = sum(record.active for record in ordered)
    return json_response(Downloads([_status(record) for record in ordered], len(ordered), active))


async def cancel_download(request: web.Request) -> web.Response:
    """Cancel a download; what has arrived is kept for the next attempt."""
    record = await request.app[PARTS].downloads.cancel(request.match_info["id"])
    return json_response(_status(record))


async def download_info(request: web.Request) -> web.Response:
    """Answer with what is known of one model."""
    parts = request.app[PARTS]
    model = parts.models.require(request.match_info["name"], field="name")
    records = await asyncio.to_thread(parts.downloads.downloaded.records)
    key, spec, record = model.key, model.spec, records.get(model.key)
    last = parts.downloads.last(key)
    return json_response(
        DownloadedInfo(
            name=key,
            display_name=spec.display_name,
            description=spec.description,
            source=record.source if record else spec.source,
            model_id=record.model_id if record else spec.model_id,
            task=spec.task,
            handler=spec.handler,
            license=spec.license,
            state=model.state.shown,
            downloaded=record is not None,
            revision=record.revision if record else spec.revision,
            sha256=record.sha256 if record else None,
            size_mb=round(record.size_bytes / MB, 3) if record else spec.size_mb,
            downloaded_at=record.downloaded_at if record else None,
            vocoder=record.vocoder if record else spec.vocoder,
            download_id=last.id if last else None,
        )
    )


async def remove_download(request: web.Request) -> web.Response:
    """Unload a downloaded model, and remove its archive, files and unfinished downloads."""
    force = read_query(request, RemoveQuery).force
    parts = request.app[PARTS]
    name = request.match_info["name"]
    records = await asyncio.to_thread(parts.downloads.downloaded.records)
    key = parts.models.catalog.key_of(name) or folded(name)
    _check_removable(parts, key, records.get(key), force=force)
    await parts.downloads.remove(key)
    return json_response(Removed(True, f"{key} is removed", key))


def _check_removable(
    parts: DownloadParts, key: str, record: Downloaded | None, *, force: bool
) -> None:
    """Raise ModelNotFound, or ModelInUse for a model of models.json that is loaded."""
    model = parts.models.get(key)
    if record is None and not parts.downloads.has_unfinished(key):
        shown = model.state.shown if model else None
        raise ModelNotFound(key, "it was not downloaded", field="name", state=shown)
    if record is None or model is None:
        return  # only files of unfinished downloads are removed
    in_use = model.state in IN_MEMORY or model.state is State.IDLE
    if in_use and not force and not parts.models.catalog.is_own(key):
        raise ModelInUse(
            "a loaded model of models.json is removed only with force=true", field="force"
        )


def _status(record: DownloadRecord) -> DownloadStatus:
    return DownloadStatus(
        download_id=record.id,
        model_name=record.target.key,
        source=record.target.source,
        model_id=record.target.shown_id,
        status=record.state,
        progress=round(record.progress, 4),
        bytes_done=record.done_bytes,
        bytes_total=record.total_bytes,
        eta=_rounded(record.seconds_left),
        message=record.message,
        error=record.error,
        created_at=record.created_at,
        finished_at=record.finished_at,
    )


def _clones_voices(spec: ModelSpec | None) -> bool | None:
    """Return whether the model clones voices; None while its architecture is unknown."""
    return None if spec is None else spec.speech is not None and spec.speech.clones_voices


def _message(target: DownloadTarget, record: DownloadRecord | None) -> str:
    if record is None:
        return f"{target.key} is here already; force downloads it again"
    return f"{target.key} is being downloaded from {target.source}"


def _size_mb(target: DownloadTarget, record: DownloadRecord | None) -> float | None:
    if record is not None and record.total_bytes is not None:
        return round(record.total_bytes / MB, 3)
    return target.spec.size_mb if target.spec else None


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


ROUTES = [
    Route(
        "POST",
        "/models/download",
        download,
        "Download a model",
        response=DownloadAccepted,
        request=DownloadRequest,
        statuses=(400, 401, 403, 404, 409, 413, 422),
        example={"source": "package", "model_id": "joe", "name": "joe_tts"},
        credential="admin",
    ),
    Route(
        "GET",
        "/models/downloads",
        downloads,
        "All downloads, the newest first",
        response=Downloads,
    ),
    Route(
        "GET",
        "/models/download/status/{id}",
        download_status,
        "How far a download is",
        response=DownloadStatus,
        statuses=(404,),
    ),
    Route(
        "POST",
        "/models/download/{id}/cancel",
        cancel_download,
        "Cancel a download",
        response=DownloadStatus,
        statuses=(401, 403, 404),
        credential="admin",
    ),
    Route(
        "GET",
        "/models/download/{name}/info",
        download_info,
        "What is known of a model",
        response=DownloadedInfo,
        statuses=(404,),
    ),
    Route(
        "DELETE",
        "/models/download/{name}",
        remove_download,
        "Remove a downloaded model",
        response=Removed,
        statuses=(401, 403, 404, 409, 422),
        credential="admin",
        query=RemoveQuery,
    ),
]
