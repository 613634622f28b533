"""Files that only their owner may read, made in one move."""

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sidecar.access.private_files import read_private
from sidecar.durable_files import create_whole, write_whole
from sidecar.settings import SettingsError
from tests.waiting import LIMIT_SECONDS

ROOT = Path(__file__).parents[3]
MAKE_SECRETS = """
import sys
from pathlib import Path
from sidecar.access.signing_keys import development_secret
from sidecar.settings import Settings
folders = [Path(sys.argv[1]) / str(number) for number in range(20)]
print("ready", flush=True)
sys.stdin.readline()
for folder in folders:
    print(development_secret(Settings(state_dir=folder)))
"""


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("write", [write_whole, create_whole])
def test_only_the_owner_may_read_it_whatever_the_umask(
    tmp_path: Path, write: Callable[[Path, bytes], object]
) -> None:
    path = tmp_path / "new" / "file"
    write(path, b"data")
    assert read_private(path) == b"data"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) & 0o077 == 0


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o610, 0o604, 0o602, 0o601])
def test_a_file_open_to_others_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"private data")
    path.chmod(mode)
    with pytest.raises(SettingsError, match=f"chmod 600 {path}") as caught:
        read_private(path)
    assert "private data" not in str(caught.value)


def test_writing_over_a_file_closes_it_to_others(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o644)
    write_whole(path, b"new")
    assert read_private(path) == b"new"


def test_a_reader_during_a_write_sees_the_whole_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old" * 10_000)
    with path.open("rb") as reader:
        head = reader.read(1)
        write_whole(path, b"new")
        assert head + reader.read() == b"old" * 10_000
    assert read_private(path) == b"new"


def test_creating_leaves_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert create_whole(path, b"first")
    assert not create_whole(path, b"second")
    assert read_private(path) == b"first"


def test_no_temporary_file_is_left_even_if_a_write_fails(tmp_path: Path) -> None:
    create_whole(tmp_path / "file", b"first")
    create_whole(tmp_path / "file", b"second")
    write_whole(tmp_path / "file", b"third")
    (tmp_path / "folder" / "in the way").mkdir(parents=True)
    with pytest.raises(OSError, match="folder"):
        write_whole(tmp_path / "folder", b"fourth")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}


@pytest.mark.parametrize("write", [write_whole, create_whole])
def test_a_full_disk_keeps_the_old_file_and_is_named(
    tmp_path: Path, write: Callable[[Path, bytes], object]
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # EFBIG, as ENOSPC half-way
    try:
        with pytest.raises(OSError, match="file") as caught:
            write(path, b"new" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(path))
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_two_simultaneous_starts_share_one_development_secret(tmp_path: Path) -> None:
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", MAKE_SECRETS, tmp_path],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for maker in makers:
        assert maker.stdout is not None
        assert maker.stdout.readline() == "ready\n"
    for maker in makers:
        assert maker.stdin is not None
        maker.stdin.write("go\n")
        maker.stdin.flush()
    first, second = (maker.communicate(timeout=LIMIT_SECONDS)[0].split() for maker in makers)
    assert first == second
    assert len(set(first)) == 20
