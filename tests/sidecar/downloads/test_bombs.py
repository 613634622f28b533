"""Archives that would make more of themselves than they should, and what stays of a failure."""

import bz2
import gzip
import io
import json
import lzma
import struct
import tarfile
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from filelock import FileLock
from safetensors.numpy import save

from sidecar.downloads import leftovers
from sidecar.downloads.messages import DownloadFailed, DownloadSettings
from sidecar.downloads.soundness import check_settings, check_weights
from sidecar.downloads.unpacking import MAX_MEMBERS, unpack
from sidecar.settings import MB
from tests.hub import FakeHub
from tests.sidecar.downloads.conftest import TINY, Files, target
from tests.sidecar.downloads.running import fail, succeed

ZEROS = bytes(80 * MB)


def below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def zip_bomb(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b"{}")
        archive.writestr("model.safetensors", ZEROS)
    return path


def tar_bytes(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in {"config.json": b"{}", **members}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def test_a_zip_bomb_is_refused_before_anything_comes_out(tmp_path: Path) -> None:
    bomb = zip_bomb(tmp_path / "m.zip")
    (tmp_path / "out").mkdir()
    with pytest.raises(DownloadFailed, match="the limit is 20 times its size"):
        unpack(bomb, tmp_path / "out", 1.0, 1000.0)
    assert below(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("m.tar.gz", gzip.compress),
        ("m.tgz", gzip.compress),
        ("m.tar.bz2", bz2.compress),
        ("m.tar.xz", partial(lzma.compress, preset=0)),
    ],
)
def test_a_tar_bomb_is_refused_even_in_a_file_that_is_not_wanted(
    tmp_path: Path, name: str, pack: Any
) -> None:
    (tmp_path / name).write_bytes(pack(tar_bytes(**{"not_wanted.bin": ZEROS})))
    with pytest.raises(DownloadFailed, match="unpacked it would have more than"):
        unpack(tmp_path / name, tmp_path / "out", 1.0, 1000.0)


def test_the_operators_limit_holds_for_what_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "m.tar"
    path.write_bytes(tar_bytes(**{"model.safetensors": bytes(3 * MB)}))
    with pytest.raises(DownloadFailed, match="more than 2 MB"):
        unpack(path, tmp_path / "out", 1.0, 2.0)


def test_a_zip_that_lies_about_a_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.safetensors", bytes(MB))
    data = path.read_bytes().replace(struct.pack("<I", MB), struct.pack("<I", 10))
    path.write_bytes(data)
    (tmp_path / "out").mkdir()
    with pytest.raises(DownloadFailed, match="damaged"):
        unpack(path, tmp_path / "out", 1.0, 1000.0)


def test_a_tar_header_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 50 * MB
    (tmp_path / "m.tar.gz").write_bytes(gzip.compress(info.tobuf() + bytes(50 * MB)))
    with pytest.raises(DownloadFailed, match="too long"):
        unpack(tmp_path / "m.tar.gz", tmp_path / "out", 1.0, 1000.0)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_too_many_files_and_two_of_one_name_are_refused(tmp_path: Path, kind: str) -> None:
    many = [f"a{number}.txt" for number in range(MAX_MEMBERS + 1)]
    for names, sentence in ((many, "more than 10000 files"), (["a.json", "a.json"], "twice")):
        path = tmp_path / f"m.{kind}"
        if kind == "zip":
            with zipfile.ZipFile(path, "w") as archive:
                for name in names:
                    archive.writestr(zipfile.ZipInfo(name), b"")
        else:
            with tarfile.open(path, "w") as tar:
                for name in names:
                    tar.addfile(tarfile.TarInfo(name))
        with pytest.raises(DownloadFailed, match=sentence):
            unpack(path, tmp_path / "out", 1.0, 1000.0)


async def test_a_bomb_at_an_address_leaves_nothing_behind(
    hub: FakeHub, place: DownloadSettings, tmp_path: Path
) -> None:
    hub.add("files", {"m.zip": zip_bomb(tmp_path / "m.zip").read_bytes()})
    named = msgspec.structs.replace(place, hosts=(hub.host,))
    assert "unpacked" in await fail(target(source="url", model_id=f"{hub.url}/files/m.zip"), named)
    assert not (place.state_dir / "downloads" / "tiny").exists()
    assert not (place.state_dir / "models" / "tiny").exists()


async def test_a_redirect_in_a_circle_is_a_clear_refusal(
    hub: FakeHub, place: DownloadSettings
) -> None:
    named = msgspec.structs.replace(place, hosts=(hub.host,))
    address = f"{hub.url}/files/m.zip"
    hub.redirect_to = address
    assert "redirects in a circle" in await fail(target(source="url", model_id=address), named)
    hub.redirect_to = "https://example.com:0/m.zip"
    assert "port must be a number" in await fail(target(source="url", model_id=address), named)
    hub.redirect_to = "https://0177.0.0.1/m.zip"
    assert "not a web address" in await fail(target(source="url", model_id=address), named)


async def test_a_model_that_is_larger_than_the_limit_is_not_fetched(
    hub: FakeHub, checkpoint: Files, place: DownloadSettings
) -> None:
    hub.add(TINY, checkpoint)
    small = msgspec.structs.replace(place, max_mb=0.1)
    assert "SIDECAR_MAX_DOWNLOAD_MB" in await fail(target(), small)
    assert hub.gets("model.safetensors") == []


@pytest.mark.parametrize(
    "spoiled",
    [
        {"siblings": [{"rfilename": 7}]},
        {"siblings": 7},
        {"sha": "../../x"},
        {"sha": 7},
        {"cardData": {"language": 7}},
        {"siblings": [{"rfilename": "model.safetensors", "lfs": 7}]},
        {"siblings": [{"rfilename": "model.safetensors", "size": -1}]},
    ],
)
async def test_a_hub_whose_description_is_damaged_is_said_in_a_sentence(
    hub: FakeHub, checkpoint: Files, place: DownloadSettings, spoiled: dict[str, Any]
) -> None:
    hub.add(TINY, checkpoint)
    hub.listed = lambda info: info | spoiled
    assert await fail(target(), place)


async def test_a_download_that_fails_leaves_the_model_that_is_there(
    hub: FakeHub, checkpoint: Files, place: DownloadSettings
) -> None:
    hub.add(TINY, checkpoint)
    await succeed(target(), place)
    before = below(place.state_dir / "models")
    hub.add(TINY, checkpoint | {"model.safetensors": checkpoint["model.safetensors"][:-1]})
    assert "model.safetensors is damaged" in await fail(target(), place)
    assert below(place.state_dir / "models") == before
    assert (place.model_store / "tiny.mar").exists()
    assert not (place.state_dir / "downloads" / "tiny").exists()


def test_a_sweep_removes_what_no_download_owns(tmp_path: Path) -> None:
    for name in ("owned", "orphan", "busy"):
        (tmp_path / name / "whole").mkdir(parents=True)
        (tmp_path / name / "whole" / "model.safetensors").write_bytes(b"x")
        (tmp_path / name / "a.partial").write_bytes(b"x")
    (tmp_path / "stray").write_bytes(b"x")
    (tmp_path / "old.lock").touch()
    with FileLock(tmp_path / "busy.lock"):
        leftovers.sweep(tmp_path, {"owned"})
        assert below(tmp_path) == [
            "busy.lock",
            "busy/a.partial",
            "busy/whole/model.safetensors",
            "owned.lock",
            "owned/a.partial",
        ]


def header(*spans: tuple[int, int], shape: int = 4, dtype: str = "U8", data: int = 8) -> bytes:
    tensors = {
        f"t{number}": {"dtype": dtype, "shape": [shape], "data_offsets": list(span)}
        for number, span in enumerate(spans)
    }
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text + bytes(data)


DAMAGED: dict[str, bytes] = {
    "empty": b"",
    "a short header": b"\1\0\0",
    "a header that is longer than the file": struct.pack("<Q", 2**40) + b"{}",
    "a header that is no JSON": struct.pack("<Q", 2) + b"{[",
    "a header that is a list": struct.pack("<Q", 2) + b"[]",
    "no tensors": struct.pack("<Q", 2) + b"{}",
    "a hole": header((0, 4), (5, 9), data=9),
    "an overlap": header((0, 4), (2, 6), data=6),
    "bytes before the first": header((4, 8)),
    "bytes after the last": header((0, 4), (4, 8), data=9),
    "cut off": header((0, 4), (4, 8), data=7),
    "a shape that needs more": header((0, 4), (4, 8), shape=5),
    "a shape that overflows": header((0, 4), (4, 8), shape=2**63),
    "an unknown type": header((0, 4), (4, 8), dtype="X9"),
    "offsets that go back": header((4, 0), (4, 8)),
}


def test_a_sound_file_is_taken(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(header((0, 4), (4, 8)))
    check_weights(tmp_path)


@pytest.mark.parametrize("reason", DAMAGED)
def test_a_damaged_safetensors_file_is_refused_with_a_reason(tmp_path: Path, reason: str) -> None:
    (tmp_path / "model.safetensors").write_bytes(DAMAGED[reason])
    with pytest.raises(DownloadFailed, match=r"its model\.safetensors"):
        check_weights(tmp_path)


SHARD = "model-00001-of-00002.safetensors"


@pytest.mark.parametrize(
    "index",
    [
        None,
        {},
        [],
        {"weight_map": {}},
        {"weight_map": 7},
        {"weight_map": {"w": 7}},
        {"weight_map": {"w": "../model.safetensors"}},
        {"weight_map": {"w": "/etc/passwd"}},
        {"weight_map": {"w": "model-00002-of-00002.safetensors"}},
        {"weight_map": {"v": SHARD}},
    ],
)
def test_an_index_that_does_not_fit_its_shards_is_refused(tmp_path: Path, index: Any) -> None:
    (tmp_path / SHARD).write_bytes(save({"w": np.zeros(2)}))
    if index is not None:
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(DownloadFailed, match=r"model\.safetensors\.index\.json|lacks the tensor"):
        check_weights(tmp_path)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("config.json", b"{"),
        ("config.json", b"[" * 65 + b"]" * 65),
        ("config.json", b"[" * 90_000),
        ("config.json", b'"' + b" " * 5 * MB + b'"'),
        ("tokenizer.json", b"{}"),
        ("vocab.txt", b"\xff\xfe"),
        ("vocab.txt", b""),
        ("merges.txt", b"a\0b"),
        ("spiece.model", b""),
        ("pytorch_model.bin.index.json", b'{"weight_map": {"w": "../../x.bin"}}'),
    ],
)
def test_damaged_settings_and_tokenizers_are_refused(
    tmp_path: Path, name: str, data: bytes
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DownloadFailed, match="its "):
        check_settings(tmp_path)
