"""Names that are none, files that are none, and lines from either end."""

import os
from pathlib import Path

import pytest

from sidecar.errors import InvalidLogName, LogNotFound
from sidecar.telemetry.log_folder import LogFolder

TEN = b"".join(b"line %d\n" % number for number in range(10))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "server.log").write_bytes(TEN)
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        "..",
        ".",
        "",
        "../server.log",
        "/etc/passwd",
        "a/b.log",
        "%2e%2e",
        "server.log.1/..",
        "server.log\0",
        "server.log\n",
        "server.txt",
        "server.log.x",
        ".log",
        "sërver.log",
        "x" * 65 + ".log",
    ],
)
def test_a_name_that_no_log_file_can_have_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(InvalidLogName):
        LogFolder(folder).read(name, 1, from_end=True)
    with pytest.raises(InvalidLogName):
        LogFolder(folder).empty(name)


def test_links_folders_and_pipes_are_no_log_files(folder: Path) -> None:
    outside = folder / "outside"
    outside.write_text("secret\n")
    (folder / "link.log").symlink_to(outside)
    (folder / "folder.log").mkdir()
    os.mkfifo(folder / "pipe.log")
    logs = LogFolder(folder)
    assert [file.name for file in logs.files()] == ["server.log"]
    for name in ("link.log", "folder.log", "pipe.log", "nobody.log"):
        with pytest.raises(LogNotFound):
            logs.read(name, 1, from_end=True)
        with pytest.raises(LogNotFound):
            logs.empty(name)
    assert outside.read_text() == "secret\n"


def test_rotated_files_are_listed_too_and_nothing_else(folder: Path) -> None:
    for name in ("server.log.1", "workers.log.12", "jwt_secret", "server.log.gz"):
        (folder / name).write_text("x")
    names = [file.name for file in LogFolder(folder).files()]
    assert names == ["server.log", "server.log.1", "workers.log.12"]


def test_a_missing_folder_has_no_files(tmp_path: Path) -> None:
    assert LogFolder(tmp_path / "nowhere").files() == []


@pytest.mark.parametrize("block", [1, 7, 8, 65536])
@pytest.mark.parametrize(
    ("lines", "from_end", "text"),
    [
        (2, True, b"line 8\nline 9\n"),
        (2, False, b"line 0\nline 1\n"),
        (10, True, TEN),
        (99, True, TEN),
        (99, False, TEN),
    ],
)
def test_lines_come_from_the_end_asked_for(
    folder: Path, block: int, lines: int, from_end: bool, text: bytes
) -> None:
    logs = LogFolder(folder, block_bytes=block)
    assert logs.read("server.log", lines, from_end=from_end) == (text, 10, len(TEN))


def test_text_after_the_last_line_break_is_a_line(folder: Path) -> None:
    (folder / "server.log").write_bytes(b"one\rstill one\ntwo\nthree")
    logs = LogFolder(folder)
    assert logs.read("server.log", 2, from_end=True) == (b"two\nthree", 3, 23)
    assert logs.read("server.log", 3, from_end=True).text == b"one\rstill one\ntwo\nthree"
    (folder / "server.log").write_bytes(b"")
    assert logs.read("server.log", 2, from_end=True) == (b"", 0, 0)
    assert logs.read("server.log", 2, from_end=False) == (b"", 0, 0)


def test_an_answer_is_bounded_and_holds_whole_lines(folder: Path) -> None:
    logs = LogFolder(folder, block_bytes=8, max_bytes=20)
    assert logs.read("server.log", 99, from_end=False).text == b"line 0\nline 1\n"
    assert logs.read("server.log", 99, from_end=True).text == b"line 7\nline 8\nline 9\n"


def test_a_file_began_with_the_time_of_its_first_line(folder: Path) -> None:
    (folder / "server.log").write_text("2026-11-23T08:30:12.482Z INFO    x - y\n")
    (folder / "other.log").write_text('{"time":"2026-11-24T08:30:12.482Z","level":"INFO"}\n')
    (folder / "third.log").write_text("no time\n")
    names = ("server.log", "other.log", "third.log")
    began = [LogFolder(folder).content(name).began for name in names]
    assert began == ["2026-11-23T08:30:12Z", "2026-11-24T08:30:12Z", None]


def test_a_writer_of_an_emptied_file_continues_at_its_new_end(folder: Path) -> None:
    with (folder / "server.log").open("ab") as writer:
        assert LogFolder(folder).empty("server.log") == len(TEN)
        writer.write(b"after\n")
    assert (folder / "server.log").read_bytes() == b"after\n"
