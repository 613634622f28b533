"""One order, run in a thread of this process: no time is lost on starting another."""

import asyncio

from sidecar.downloads.fetcher import Fetcher
from sidecar.downloads.messages import (
    DownloadSettings,
    DownloadTarget,
    FetchDone,
    FetchFailed,
    FetchTask,
    Report,
)


async def fetch(target: DownloadTarget, place: DownloadSettings) -> list[Report]:
    """All reports."""
    reports: list[Report] = []
    await asyncio.to_thread(Fetcher(FetchTask(target=target, place=place), reports.append).run)
    return reports


async def succeed(target: DownloadTarget, place: DownloadSettings) -> FetchDone:
    """Return the last report, which must not be a failure."""
    last = (await fetch(target, place))[-1]
    assert isinstance(last, FetchDone), last
    return last


async def fail(target: DownloadTarget, place: DownloadSettings) -> str:
    """The sentence of the failure."""
    last = (await fetch(target, place))[-1]
    assert isinstance(last, FetchFailed), last
    return last.error
