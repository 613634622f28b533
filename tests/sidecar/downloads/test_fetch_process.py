"""The process that fetches: what it may see, and when it ends."""

import asyncio
import os
from pathlib import Path

from sidecar.downloads.fetch_process import allowed_environment, running
from sidecar.downloads.messages import (
    DownloadSettings,
    FetchDone,
    FetchFailed,
    FetchProgress,
    FetchTask,
)
from sidecar.downloads.record import DownloadRecord, encode_records, load_records, write_records
from tests.hub import FakeHub
from tests.sidecar.downloads.conftest import TINY, Files, target
from tests.waiting import LIMIT_SECONDS


def test_a_download_process_sees_proxies_but_no_settings_or_secrets() -> None:
    seen = allowed_environment(
        {
            "PATH": "/bin",
            "https_proxy": "http://proxy",
            "SIDECAR_JWT_SECRET": "secret",
            "SIDECAR_HUB_TOKEN": "secret",
            "HF_TOKEN": "secret",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }
    )
    assert seen == {"PATH": "/bin", "https_proxy": "http://proxy"}


async def test_a_download_process_reports_its_end(
    hub: FakeHub, checkpoint: Files, place: DownloadSettings
) -> None:
    hub.add(TINY, checkpoint)
    async with running(FetchTask(target=target(), place=place)) as process:
        reports = [report async for report in process.reports()]
    assert isinstance(reports[-1], FetchDone)
    assert all(isinstance(report, FetchProgress) for report in reports[:-1])
    assert process.exit_code == 0


async def test_a_download_process_ends_with_a_killed_server(
    hub: FakeHub, checkpoint: Files, place: DownloadSettings
) -> None:
    """Its input closes then, and nobody is left to end it."""
    hub.add(TINY, checkpoint)
    hub.hold()
    async with running(FetchTask(target=target(), place=place)) as process:
        reports = process.reports()
        await anext(reports)
        process.close_input()
        async with asyncio.timeout(LIMIT_SECONDS):
            last = [report async for report in reports][-1]
    assert isinstance(last, FetchFailed)
    assert "ended with code" in last.error


def test_jobs_that_had_not_ended_wait_again(tmp_path: Path) -> None:
    path = tmp_path / "var" / "downloads.json"
    going = DownloadRecord(
        id="1", target=target(), created_at=1.0, state="downloading", done_bytes=7
    )
    ended = DownloadRecord(id="2", target=target(), created_at=2.0, state="completed")
    write_records(path, encode_records([going, ended]))
    assert [(job.id, job.state, job.done_bytes) for job in load_records(path)] == [
        ("2", "completed", 0),
        ("1", "pending", 7),
    ]
    path.write_text("spoiled")
    assert load_records(path) == []
    assert load_records(tmp_path / "missing") == []
    assert os.listdir(path.parent) == ["downloads.json"]  # noqa: PTH208


def test_the_time_left_is_that_of_the_bytes_left() -> None:
    job = DownloadRecord(id="1", target=target(), created_at=0.0)
    report = FetchProgress(state="downloading", message="", done_bytes=300, total_bytes=1000)
    job.advance(report, seconds=2.0, since_bytes=100)
    assert (job.progress, job.seconds_left) == (0.3, 7.0)
    job.advance(report, seconds=2.0, since_bytes=300)
    assert job.seconds_left is None
