"""The process that fetches: it is given a task, reports line by line, and ends with us.

It inherits no `SIDECAR_…` variable and no secret; the hub's token comes through its input.
Its input stays open as long as it is wanted: it ends itself when that closes, so that it
does not outlive a server that was killed.
"""

import asyncio
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TextIO

import msgspec

from sidecar.downloads.messages import (
    FetchFailed,
    FetchProgress,
    FetchTask,
    Report,
    decode_path,
    encode_path,
)
from sidecar.settings import MB

log = logging.getLogger(__name__)

STOP_SECONDS = 5.0
MAX_LINE_BYTES = MB
ALLOWED_VARIABLES = re.compile(
    r"PATH|HOME|USER|LOGNAME|LANG|LC_\w+|TZ|TMPDIR|VIRTUAL_ENV|LD_LIBRARY_PATH|OMP_\w+"
    r"|(?i:https?|all|no)_proxy|(?i:HTTPS?|ALL|NO)_PROXY|SSL_CERT_(FILE|DIR)|PIP_\w+"
    r"|HF_HUB_(OFFLINE|DOWNLOAD_TIMEOUT|ETAG_TIMEOUT)|HF_ENDPOINT|HF_DEBUG"
)
_reports = msgspec.json.Decoder(Report)


class FetchProcess:
    """One running process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def reports(self, silent_seconds: float | None = None) -> AsyncIterator[Report]:
        """Yield its reports until it ends.

        A process that ends without a last report has failed, and so has one that reports nothing
        for *silent_seconds* while it downloads.
        """
        assert self._process.stdout is not None
        said_last = False
        waiting = silent_seconds
        while True:
            try:
                async with asyncio.timeout(waiting):
                    line = await self._process.stdout.readline()
            except TimeoutError:
                yield FetchFailed(f"nothing arrived for {waiting:g} seconds", kept=True)
                return
            if not line:
                break
            try:
                report = _reports.decode(line)
            except msgspec.DecodeError:
                continue  # a library printed something
            said_last = not isinstance(report, FetchProgress)
            if isinstance(report, FetchProgress):
                waiting = silent_seconds if report.state == "downloading" else None
            yield report
        code = await self._process.wait()
        if not said_last:
            log.error("the process that downloads ended with code %d", code)
            yield FetchFailed(f"the process that downloads ended with code {code}")

    @property
    def exit_code(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.returncode

    def close_input(self) -> None:
        """Close its input, at which the process ends itself."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def end(self) -> None:
        """End the process and what it started; it removes what it was building."""
        process = self._process
        self.close_input()
        if process.returncode is None:
            _signal_group(process.pid, signal.SIGTERM)
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await process.wait()
        _signal_group(process.pid, signal.SIGKILL)
        await process.wait()


@asynccontextmanager
async def running(task: FetchTask) -> AsyncIterator[FetchProcess]:
    """Yield the process for *task*, which ends with the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sidecar.downloads",
        "fetch",
        env=allowed_environment(os.environ),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=MAX_LINE_BYTES,
        start_new_session=True,
    )
    running = FetchProcess(process)
    try:
        assert process.stdin is not None
        with suppress(ConnectionError):
            process.stdin.write(encode_task(task) + b"\n")
            await process.stdin.drain()
        yield running
    finally:
        await asyncio.shield(running.end())


def allowed_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what of *environ* the process may see."""
    return {name: value for name, value in environ.items() if ALLOWED_VARIABLES.fullmatch(name)}


def encode_task(task: FetchTask) -> bytes:
    """Return *task* as one line of JSON."""
    return msgspec.json.encode(task, enc_hook=encode_path)


def read_task(source: TextIO) -> FetchTask:
    """Return the task on the process's input; from now on, the process ends when that closes."""
    task = msgspec.json.decode(source.readline(), type=FetchTask, dec_hook=decode_path)

    def watch() -> None:
        while os.read(source.fileno(), 1):  # no buffered reading: its lock would outlive us
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
    return task


def _signal_group(leader: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)
