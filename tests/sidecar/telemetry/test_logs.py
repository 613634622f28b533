"""What the log files hold, and that a disk in trouble harms nobody."""

import asyncio
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sidecar.settings import Settings
from sidecar.telemetry.log_lines import AccessLine, AccessLines
from sidecar.telemetry.log_queue import AccessLog, LogQueue
from sidecar.telemetry.logs import ERROR_LOG, REQUEST_LOG, REQUESTS, SERVER_LOG, open_logs
from sidecar.telemetry.request_id import REQUEST_ID
from tests.waiting import block_until, until

log = logging.getLogger("sidecar.test")
LINE = AccessLine("GET", "/livez", 200, 0.25, "me", 17, 1_790_000_000.5, "abc")


@contextmanager
def logs(folder: Path, **settings: Any) -> Iterator[None]:
    with open_logs(Settings(log_dir=folder, **settings)):
        yield


def lines(folder: Path, name: str) -> list[str]:
    return (folder / name).read_text().splitlines()


def test_every_line_is_in_its_files_when_the_logs_are_closed(tmp_path: Path) -> None:
    with logs(tmp_path):
        for number in range(500):
            log.info("line %d", number)
        log.error("an error")
        logging.getLogger(REQUESTS).info(AccessLines([LINE]))
    server = lines(tmp_path, SERVER_LOG)
    assert len(server) == 501
    assert server[499].endswith("INFO    sidecar.test - line 499")
    assert [line[25:] for line in lines(tmp_path, ERROR_LOG)] == ["ERROR   sidecar.test - an error"]
    assert [line[25:] for line in lines(tmp_path, REQUEST_LOG)] == [
        "INFO    sidecar.requests [abc] - GET /livez 200 0.250000 s 17 bytes me"
    ]


def test_json_lines_have_the_same_keys_and_the_traceback_as_one(tmp_path: Path) -> None:
    with logs(tmp_path, log_format="json"):
        mark = REQUEST_ID.set("abc")
        try:
            dict[str, int]()["missing"]
        except KeyError:
            log.exception("it %s", "failed\nbadly")
        logging.getLogger(REQUESTS).info(AccessLines([LINE]))
        REQUEST_ID.reset(mark)
        log.info("outside")
    failed, outside = (json.loads(line) for line in lines(tmp_path, SERVER_LOG))
    (asked,) = (json.loads(line) for line in lines(tmp_path, REQUEST_LOG))
    time = failed.pop("time")
    assert time[10] == "T"
    assert time[-5] == "."
    assert time.endswith("Z")
    assert "KeyError: 'missing'" in failed.pop("exception")
    assert failed == {
        "level": "ERROR",
        "logger": "sidecar.test",
        "message": "it failed\nbadly",
        "request_id": "abc",
    }
    assert outside["request_id"] is None
    assert "exception" not in outside
    assert asked == {
        "time": "2026-09-21T14:13:20.500Z",
        "level": "INFO",
        "logger": "sidecar.requests",
        "message": "GET /livez 200 0.250000 s 17 bytes me",
        "request_id": "abc",
        "method": "GET",
        "path": "/livez",
        "status": 200,
        "seconds": 0.25,
        "subject": "me",
        "bytes": 17,
    }


def test_a_message_cannot_begin_a_line_of_its_own(tmp_path: Path) -> None:
    with logs(tmp_path):
        log.info("a\r\nb\x1b\u2028c ü")
    (line,) = lines(tmp_path, SERVER_LOG)
    assert line.endswith(" - a\\r\\nb\\x1b\\u2028c ü")


@pytest.mark.parametrize("mark", ["\n", "\r", "\x85", "\u2028", "\udcff"], ids=ascii)
def test_an_exception_cannot_begin_a_line_of_its_own(tmp_path: Path, mark: str) -> None:
    forged = "2026-01-01T00:00:00.000Z INFO    sidecar - all is well"
    with logs(tmp_path):
        log.error("failed", exc_info=ValueError(f"a value{mark}{forged}"))
        log.error("of %s", mark, extra={"request_id": f"a{mark}{forged}"})
    ours = [line for line in lines(tmp_path, SERVER_LOG) if line.startswith("20")]
    assert len(ours) == 2
    assert "sidecar.test - failed" in ours[0]
    assert "sidecar.test [a" in ours[1]


def test_json_lines_take_any_text(tmp_path: Path) -> None:
    with logs(tmp_path, log_format="json"):
        log.error("a \udcff", extra={"request_id": "\udcfe"}, exc_info=ValueError("\udcfd"))
    (line,) = lines(tmp_path, SERVER_LOG)
    told = json.loads(line)
    assert told["message"] == "a \\udcff"
    assert told["request_id"] == "\\udcfe"
    assert "\\udcfd" in told["exception"]


def test_a_text_line_has_the_request_id_and_its_traceback_below(tmp_path: Path) -> None:
    with logs(tmp_path):
        mark = REQUEST_ID.set("abc")
        try:
            dict[str, int]()["missing"]
        except KeyError:
            log.exception("it failed")
        REQUEST_ID.reset(mark)
        log.info("of two", extra={"request_id": "a,b"})
    server = lines(tmp_path, SERVER_LOG)
    assert server[0].endswith("ERROR   sidecar.test [abc] - it failed")
    assert server[1].startswith("Traceback")
    assert server[-1].endswith("sidecar.test [a,b] - of two")


def test_access_lines_can_be_disabled_and_ignore_the_log_level(tmp_path: Path) -> None:
    with logs(tmp_path / "off", access_log=False):
        logging.getLogger(REQUESTS).info(AccessLines([LINE]))
    with logs(tmp_path / "on", log_level="ERROR"):
        logging.getLogger(REQUESTS).info(AccessLines([LINE]))
        log.warning("too low")
    assert lines(tmp_path / "off", REQUEST_LOG) == []
    assert len(lines(tmp_path / "on", REQUEST_LOG)) == 1
    assert lines(tmp_path / "on", SERVER_LOG) == []


def test_files_are_rotated_by_size(tmp_path: Path) -> None:
    with logs(tmp_path, log_max_mb=0.001, log_backups=2):
        for _ in range(60):
            log.info("a line of some length, so that not many fit into a file")
    names = sorted(path.name for path in tmp_path.glob("server.log*"))
    assert names == ["server.log", "server.log.1", "server.log.2"]
    assert all(path.stat().st_size <= 1050 for path in tmp_path.glob("server.log*"))


def test_a_full_disk_is_told_once_and_harms_no_other_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / SERVER_LOG).symlink_to("/dev/full")
    with logs(tmp_path):
        for _ in range(3):
            log.error("an error")
    assert len(lines(tmp_path, ERROR_LOG)) == 3
    said = capsys.readouterr().err
    assert said.count("server.log cannot be written: [Errno 28]") == 1
    assert "Traceback" not in said


def test_a_file_goes_on_when_its_disk_has_room_again(tmp_path: Path) -> None:
    (tmp_path / SERVER_LOG).symlink_to("/dev/full")
    with logs(tmp_path):
        log.error("lost")
        block_until(lambda: lines(tmp_path, ERROR_LOG) != [])
        (tmp_path / SERVER_LOG).unlink()
        log.error("kept")
    assert [line[-4:] for line in lines(tmp_path, SERVER_LOG)] == ["kept"]


def test_a_truncated_log_line_is_ended_before_the_next(
    tmp_path: Path,
) -> None:
    (tmp_path / SERVER_LOG).write_text("a whole line\nhalf a li")
    (tmp_path / ERROR_LOG).write_text("a whole line\n")
    with logs(tmp_path):
        log.error("after")
    whole, half, after = lines(tmp_path, SERVER_LOG)
    assert (whole, half) == ("a whole line", "half a li")
    assert after.endswith("sidecar.test - after")
    assert len(lines(tmp_path, ERROR_LOG)) == 2  # nothing is put between whole lines


def test_lines_without_room_in_the_queue_are_counted() -> None:
    queue = LogQueue(max_waiting=2)

    def put(message: str) -> None:
        queue.handle(logging.LogRecord("x", logging.INFO, "", 0, message, None, None))

    for message in ("1", "2", "3", "4"):
        put(message)
    said = [queue.queue.get_nowait().getMessage() for _ in range(2)]
    put("5")
    said += [queue.queue.get_nowait().getMessage() for _ in range(2)]
    assert said[:2] == ["1", "2"]
    assert said[2].startswith("2 lines were lost")
    assert said[3] == "5"
    assert queue.queue.empty()


def test_access_lines_that_are_queued_count_each_for_itself() -> None:
    queue = LogQueue(max_waiting=3)

    def put(lines: int) -> None:
        message = AccessLines([LINE] * lines)
        queue.handle(logging.LogRecord("x", logging.INFO, "", 0, message, None, None))

    put(3)
    put(2)
    assert len(queue.queue.get_nowait().msg) == 3
    put(1)
    assert queue.queue.get_nowait().getMessage().startswith("2 lines were lost")
    assert len(queue.queue.get_nowait().msg) == 1
    put(3)
    assert len(queue.queue.get_nowait().msg) == 3


def test_access_lines_that_came_together_are_rotated_one_by_one(tmp_path: Path) -> None:
    with logs(tmp_path, log_max_mb=0.001, log_backups=5):
        logging.getLogger(REQUESTS).info(AccessLines([LINE] * 30))
    files = list(tmp_path.glob("api_requests.log*"))
    assert sum(len(lines(tmp_path, path.name)) for path in files) == 30
    assert all(path.stat().st_size <= 1050 for path in files)


def test_lines_of_requests_are_passed_on_together(tmp_path: Path) -> None:
    async def add_two() -> None:
        access = AccessLog(logging.getLogger(REQUESTS))
        access.add(LINE)
        access.add(LINE)
        assert taken == []
        access.flush()

    def take(record: logging.LogRecord) -> bool:
        taken.append(len(record.msg))
        return True

    taken: list[int] = []
    with logs(tmp_path):
        logging.getLogger(REQUESTS).addFilter(take)
        asyncio.run(add_two())
    logging.getLogger(REQUESTS).removeFilter(take)
    assert taken == [2]
    assert len(lines(tmp_path, REQUEST_LOG)) == 2


def test_a_line_is_passed_on_though_none_follows(tmp_path: Path) -> None:
    async def add() -> None:
        AccessLog(logging.getLogger(REQUESTS)).add(LINE)
        await until(lambda: lines(tmp_path, REQUEST_LOG))

    with logs(tmp_path):
        asyncio.run(add())


def test_a_record_keeps_its_arguments_for_other_handlers() -> None:
    queue = LogQueue()
    record = logging.LogRecord("x", logging.INFO, "", 0, "%d of %d", (1, 2), None)
    queue.handle(record)
    assert queue.queue.get_nowait().getMessage() == "1 of 2"
    assert record.args == (1, 2)
