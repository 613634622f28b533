"""GET /logs, GET and DELETE /logs/{file}: the log files.  They need the scope `admin`."""

import asyncio
import logging
from contextlib import suppress

from aiohttp import hdrs, web

from sidecar.errors import LogNotFound
from sidecar.schemas.logs import LogEmptied, LogFileFacts, LogList, LogQuery
from sidecar.settings import MB, Settings
from sidecar.telemetry.log_folder import LogFolder, LogStatus
from sidecar.web.admission import ADMISSION
from sidecar.web.body import read_query
from sidecar.web.route import Route, json_response, utc

log = logging.getLogger(__name__)

SETTINGS = web.AppKey("settings", Settings)


async def logs(request: web.Request) -> web.Response:
    """Answer with the list of log files, rotated ones included."""
    settings = request.app[SETTINGS]
    folder = LogFolder(settings.logs)

    def look() -> list[LogFileFacts]:
        found = []
        for status in folder.files():
            with suppress(LogNotFound):  # rotated away in this moment
                found.append(_facts(folder, status, str(settings.logs / status.name)))
        return found

    files = await asyncio.to_thread(look)
    total = sum(file.size_bytes for file in files)
    return json_response(LogList(str(settings.logs), settings.log_level, files, _mb(total)))


async def read_log(request: web.Request) -> web.Response:
    """Answer with lines of one log file, unchanged."""
    query, name = read_query(request, LogQuery), request.match_info["file"]
    folder = LogFolder(request.app[SETTINGS].logs)
    found = await asyncio.to_thread(folder.read, name, query.lines, from_end=query.from_end)
    return web.Response(
        body=found.text,
        headers={
            hdrs.CONTENT_TYPE: "text/plain; charset=utf-8",
            hdrs.CONTENT_DISPOSITION: f'attachment; filename="{name}"',
            "X-Total-Lines": str(found.total_lines),
            "X-File-Size": str(found.size),
        },
    )


async def empty_log(request: web.Request) -> web.Response:
    """Empty one log file, and note that in server.log."""
    name = request.match_info["file"]
    folder = LogFolder(request.app[SETTINGS].logs)
    size = await asyncio.to_thread(folder.empty, name)
    identity = request[ADMISSION].identity
    subject = None if identity is None else identity.subject
    log.warning("%s was emptied by %s; it held %d bytes", name, subject, size)
    return json_response(LogEmptied(True, f"{name} is empty now", size, _mb(size)))


def _facts(folder: LogFolder, status: LogStatus, path: str) -> LogFileFacts:
    content = folder.content(status.name)
    return LogFileFacts(
        status.name,
        path,
        status.size,
        _mb(status.size),
        content.lines,
        utc(status.modified),
        content.began,
    )


def _mb(size: int) -> float:
    return round(size / MB, 3)


ROUTES = [
    Route(
        "GET",
        "/logs",
        logs,
        "The log files",
        response=LogList,
        statuses=(401, 403),
        credential="admin",
    ),
    Route(
        "GET",
        "/logs/{file}",
        read_log,
        "Lines of a log file",
        query=LogQuery,
        statuses=(400, 401, 403, 404, 422),
        credential="admin",
        media_type="text/plain",
    ),
    Route(
        "DELETE",
        "/logs/{file}",
        empty_log,
        "Empty a log file",
        response=LogEmptied,
        statuses=(400, 401, 403, 404),
        credential="admin",
    ),
]
