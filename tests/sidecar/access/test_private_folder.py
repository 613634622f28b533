"""The state folder is its owner's alone, whatever it was before."""

import stat
from pathlib import Path

import pytest

from sidecar.access.private_files import make_private


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_a_new_folder_is_its_owners(tmp_path: Path) -> None:
    make_private(tmp_path / "var", leave=())
    assert mode(tmp_path / "var") == 0o700


def test_an_open_folder_becomes_private(tmp_path: Path) -> None:
    folder, inner = tmp_path / "var", tmp_path / "var" / "logs"
    inner.mkdir(parents=True)
    (inner / "server.log").write_text("a line\n")
    (folder / "run").write_text("a program")
    for path, before in ((folder, 0o755), (inner, 0o777)):
        path.chmod(before)
    (inner / "server.log").chmod(0o644)
    (folder / "run").chmod(0o755)
    make_private(folder, leave=())
    assert mode(folder) == mode(inner) == mode(folder / "run") == 0o700
    assert mode(inner / "server.log") == 0o600


def test_keys_that_others_could_read_are_left_to_refuse_the_start(tmp_path: Path) -> None:
    keys = tmp_path / "api_keys.json"
    keys.write_text("[]")
    keys.chmod(0o644)
    make_private(tmp_path, leave=[keys])
    assert mode(keys) == 0o644


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "var"
    outside.mkdir(mode=0o755)
    (outside / "file").touch(mode=0o644)
    folder.mkdir()
    (folder / "folder").symlink_to(outside)
    (folder / "file").symlink_to(outside / "file")
    make_private(folder, leave=())
    assert (mode(outside), mode(outside / "file")) == (0o755, 0o644)


def test_a_file_in_its_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "var").touch()
    with pytest.raises(FileExistsError):
        make_private(tmp_path / "var", leave=())
