"""One download: what is fetched, what is refused, and what continues after a failure."""

import asyncio
import hashlib
import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from filelock import FileLock
from safetensors.torch import load, save

from sidecar.catalog.downloaded import DownloadedModels
from sidecar.downloads.messages import DownloadSettings, FetchProgress
from tests.hub import FakeHub
from tests.sidecar.downloads.conftest import TINY, Files, dumped, target
from tests.sidecar.downloads.running import fail, fetch, succeed

VOCODER = save({"weight": torch.zeros(2)})


def files_of(place: DownloadSettings, key: str = "tiny") -> set[str]:
    folder = place.state_dir / "models" / key
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def archived(place: DownloadSettings, key: str = "tiny") -> zipfile.ZipFile:
    return zipfile.ZipFile(place.model_store / f"{key}.mar")


async def test_a_model_of_the_hub_becomes_an_archive(
    hub: FakeHub, checkpoint: Files, place: DownloadSettings
) -> None:
    commit = hub.add(TINY, checkpoint)
    record = (await succeed(target(), place)).record
    assert record.revision == record.spec.revision == commit
    assert (record.spec.task, record.spec.handler) == ("embedding", "text_embedding_handler")
    assert record.spec.license == "apache-2.0"
    wanted = {"config.json", "vocab.txt", "tokenizer_config.json", "model.safetensors"}
    assert files_of(place) == wanted
    with archived(place) as archive:
        assert wanted | {"text_embedding_handler.py"} <= set(archive.namelist())
        assert archive.read("model.safetensors") == checkpoint["model.safetensors"]
    records = await asyncio.to_thread(DownloadedModels(place.state_dir).records)
    assert records == {"tiny": record}
    assert not (place.state_dir / "downloads" / "tiny").exists()


async def test_progress_ends_at_all_bytes(
    hub: FakeHub, checkpoint: Files, place: DownloadSettings
) -> None:
    hub.add(TINY, checkpoint)
    progress = [each for each in await fetch(target(), place) if isinstance(each, FetchProgress)]
    total = sum(len(checkpoint[name]) for name in files_of(place))
    assert (progress[-1].done_bytes, progress[-1].total_bytes) == (total, total)
    assert progress[-1].state == "converting"


async def test_a_connection_that_is_cut_goes_on_in_the_midst_of_the_file(
    hub: FakeHub, checkpoint: Files, place: DownloadSettings
) -> None:
    hub.add(TINY, checkpoint)
    hub.cuts = 1
    await succeed(target(), place)
    assert hub.gets("model.safetensors") == [None, "bytes=196608-"]


async def test_a_retry_resumes_where_the_last_attempt_ended(
    hub: FakeHub, checkpoint: Files, place: DownloadSettings
) -> None:
    commit = hub.add(TINY, checkpoint)
    weights = checkpoint["model.safetensors"]
    kept = place.state_dir / "downloads" / "tiny" / f"tests--tiny-bert-{commit}"
    kept.mkdir(parents=True)
    (kept / "model.safetensors.partial").write_bytes(weights[:5000])
    reports = await fetch(target(), place)
    assert hub.gets("model.safetensors") == ["bytes=5000-"]
    assert max(each.done_bytes for each in reports if isinstance(each, FetchProgress)) == sum(
        len(checkpoint[name]) for name in files_of(place)
    )


async def test_bytes_with_another_hash_are_refused_and_thrown_away(
    hub: FakeHub, checkpoint: Files, place: DownloadSettings
) -> None:
    hub.add(TINY, checkpoint)
    hub.spoil = True
    assert "wrong hash" in await fail(target(), place)
    assert not list(place.state_dir.rglob("*.partial"))
    assert not (place.model_store / "tiny.mar").exists()
    hub.spoil = False
    await succeed(target(), place)


@pytest.mark.parametrize(
    "name", ["../evil.json", "/etc/evil.json", "a/../../evil.json", "evil\n.json", "a\\evil.json"]
)
async def test_a_model_with_an_escaping_file_name_is_refused(
    hub: FakeHub, checkpoint: Files, place: DownloadSettings, name: str
) -> None:
    hub.add(TINY, checkpoint)

    def add_file(info: dict[str, Any]) -> dict[str, Any]:
        return info | {"siblings": [*info["siblings"], {"rfilename": name, "size": 3}]}

    hub.listed = add_file
    assert "is not allowed" in await fail(target(), place)
    assert hub.gets(".json") == []


async def test_a_hub_that_cannot_be_reached_is_said_in_a_sentence(place: DownloadSettings) -> None:
    nowhere = msgspec.structs.replace(place, endpoint="http://127.0.0.1:9")
    error = await fail(target(), nowhere)
    assert error.startswith("the model hub 127.0.0.1:9 cannot be reached from here (ConnectError)")
    assert "SIDECAR_HUB_ENDPOINT" in error


async def test_a_model_or_revision_that_is_not_there_is_said_in_a_sentence(
    hub: FakeHub, checkpoint: Files, place: DownloadSettings
) -> None:
    assert "has no model tests/tiny-bert" in await fail(target(), place)
    hub.add(TINY, checkpoint)
    assert "has no revision v9" in await fail(target(revision="v9"), place)


async def test_a_redirect_to_a_host_that_is_not_allowed_is_not_followed(
    hub: FakeHub, checkpoint: Files, place: DownloadSettings
) -> None:
    hub.add(TINY, checkpoint)
    hub.redirect_to = "http://127.0.0.2:8080/secret"
    assert await fail(target(), place) == (
        "127.0.0.2 is asked by https only; SIDECAR_DOWNLOAD_HOSTS allows it by http too"
    )
    hub.redirect_to = "https://127.0.0.2/secret"
    assert "127.0.0.2 has a private address" in await fail(target(), place)


async def test_a_redirect_to_an_allowed_host_drops_the_token(
    hub: FakeHub, checkpoint: Files, place: DownloadSettings
) -> None:
    storage = FakeHub()
    await storage.start()
    storage.add("files", checkpoint)
    hub.add(TINY, {"config.json": b"{}", "model.safetensors": checkpoint["config.json"]})
    hub.redirect_to = f"{storage.url}/files/config.json"
    allowed = msgspec.structs.replace(place, hosts=(storage.host,), token="hf_secret")
    assert "not the file that was promised" in await fail(target(), allowed)  # of the second
    assert hub.tokens == {"Bearer hf_secret"}
    assert storage.tokens == {None}
    await storage.stop()


async def test_a_download_without_enough_disk_space_is_refused_at_once(
    hub: FakeHub, checkpoint: Files, place: DownloadSettings
) -> None:
    hub.add(TINY, checkpoint)
    full = msgspec.structs.replace(place, min_free_mb=1e9)
    assert (await fail(target(), full)).startswith("the disk is too full")
    assert hub.asked == []


async def test_downloads_on_demand_have_a_size_limit(
    hub: FakeHub, checkpoint: Files, place: DownloadSettings
) -> None:
    hub.add(TINY, checkpoint)
    assert "not downloaded unasked" in await fail(target(max_mb=0.001), place)
    assert hub.gets("model.safetensors") == []


async def test_pickled_weights_become_safetensors(
    hub: FakeHub, pickled: Files, state: dict[str, torch.Tensor], place: DownloadSettings
) -> None:
    hub.add(TINY, pickled)
    await succeed(target(), place)
    assert "model.safetensors" in files_of(place)
    assert "pytorch_model.bin" not in files_of(place)
    with archived(place) as archive:
        weights = load(archive.read("model.safetensors"))
    assert weights.keys() == state.keys()
    assert all(torch.equal(weights[name], state[name]) for name in state)


async def test_pickled_shards_become_safetensors_and_so_does_their_index(
    hub: FakeHub, settings_files: Files, state: dict[str, torch.Tensor], place: DownloadSettings
) -> None:
    names = sorted(state)
    shards = {
        "pytorch_model-00001-of-00002.bin": names[:5],
        "pytorch_model-00002-of-00002.bin": names[5:],
    }
    places = {name: shard for shard, inside in shards.items() for name in inside}
    index = json.dumps({"metadata": {}, "weight_map": places}).encode()
    files = {shard: dumped({n: state[n] for n in inside}) for shard, inside in shards.items()}
    hub.add(TINY, settings_files | files | {"pytorch_model.bin.index.json": index})
    await succeed(target(), place)
    assert {name for name in files_of(place) if "model" in name and "index" not in name} == {
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    }
    folder = place.state_dir / "models" / "tiny"
    written = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    assert all(name in load((folder / shard).read_bytes()) for name, shard in written.items())
    assert written.keys() == state.keys()


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def plain(value: Any) -> bytes:
    return pickle.dumps(value, protocol=2)


@pytest.mark.parametrize("dump", [dumped, plain])
async def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(
    hub: FakeHub, settings_files: Files, place: DownloadSettings, tmp_path: Path, dump: Any
) -> None:
    trap = tmp_path / "trap"
    hub.add(TINY, settings_files | {"pytorch_model.bin": dump({"weight": Evil(trap)})})
    assert "refused" in await fail(target(), place)
    assert not trap.exists()
    assert not (place.model_store / "tiny.mar").exists()


@pytest.mark.parametrize("data", [b"", b"spoiled", dumped([1, 2]), dumped({"a": "text"})])
async def test_a_pickle_that_is_not_a_dictionary_of_tensors_is_refused(
    hub: FakeHub, settings_files: Files, place: DownloadSettings, data: bytes
) -> None:
    hub.add(TINY, settings_files | {"pytorch_model.bin": data})
    assert (await fail(target(), place)).startswith("pytorch_model.bin ")


async def test_a_vocoder_is_fetched_with_its_model(
    hub: FakeHub, checkpoint: Files, place: DownloadSettings
) -> None:
    hub.add(TINY, checkpoint)
    hub.add("tests/vocoder", {"config.json": b"{}", "model.safetensors": VOCODER})
    record = (await succeed(target(vocoder="tests/vocoder"), place)).record
    assert record.vocoder == "tests/vocoder"
    assert {"vocoder/config.json", "vocoder/model.safetensors"} <= files_of(place)
    with archived(place) as archive:
        assert archive.read("vocoder/model.safetensors") == VOCODER


async def test_a_model_of_another_kind_is_not_made_to_speak(
    hub: FakeHub, checkpoint: Files, place: DownloadSettings
) -> None:
    hub.add(TINY, checkpoint)
    assert "cannot be made to speak" in await fail(target(must_speak=True), place)


async def test_the_clients_description_overrides_the_detected_one(
    hub: FakeHub, checkpoint: Files, place: DownloadSettings
) -> None:
    hub.add(TINY, checkpoint)
    asked = target(
        config={"license": "MIT", "inference": {"max_batch_size": 3}}, options={"pooling": "cls"}
    )
    spec = (await succeed(asked, place)).record.spec
    assert (spec.license, spec.inference.max_batch_size) == ("MIT", 3)
    assert spec.handler_options == {"pooling": "cls"}


def zipped(files: Files, top: str = "") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(top + name, data)
    return buffer.getvalue()


async def test_an_archive_at_an_address_becomes_a_model(
    hub: FakeHub, checkpoint: Files, place: DownloadSettings
) -> None:
    data = zipped(checkpoint | {"handler.py": b"raise SystemExit"}, "tiny/")
    hub.add("files", {"tiny.mar": data})
    named = msgspec.structs.replace(place, hosts=(hub.host,))
    address = f"{hub.url}/files/tiny.mar"
    digest = hashlib.sha256(data).hexdigest()
    hub.cuts = 2
    record = (await succeed(target(source="url", model_id=address, sha256=digest), named)).record
    assert record.sha256 == digest
    assert hub.gets("tiny.mar") == [None, "bytes=196608-", "bytes=393216-"]
    with archived(place) as archive:
        assert "handler.py" not in archive.namelist()
    wrong = target(source="url", model_id=address, sha256="0" * 64)
    assert "wrong hash" in await fail(wrong, named)


async def test_a_partial_file_of_another_download_is_not_reused(
    hub: FakeHub, checkpoint: Files, place: DownloadSettings
) -> None:
    named = msgspec.structs.replace(place, hosts=(hub.host,))
    good = zipped(checkpoint)
    hub.add("files", {"tiny.zip": zipped({"readme.md": b"no model"})})
    address = f"{hub.url}/files/tiny.zip"
    await fail(target(source="url", model_id=address), named)
    hub.add("files", {"tiny.zip": good})
    wrong = target(source="url", model_id=address, sha256="0" * 64)
    assert "wrong hash" in await fail(wrong, named)
    await succeed(target(source="url", model_id=address), named)


async def test_secrets_in_addresses_are_never_shown(
    hub: FakeHub, checkpoint: Files, place: DownloadSettings
) -> None:
    named = msgspec.structs.replace(place, hosts=(hub.host,))
    hub.add("files", {"tiny.zip": zipped(checkpoint)})
    secret = target(source="url", model_id=f"{hub.url}/files/tiny.zip?signature=hidden")
    done = await succeed(secret, named)
    assert b"hidden" not in msgspec.json.encode(done)
    assert done.record.model_id == secret.shown_id == f"{hub.url}/files/tiny.zip"
    user = target(source="url", model_id="https://anna:hidden@example.com/a.zip")
    assert user.shown_id == "https://example.com/a.zip"


async def test_an_address_is_checked_at_every_redirect(
    hub: FakeHub, checkpoint: Files, place: DownloadSettings
) -> None:
    hub.add("files", {"tiny.zip": zipped(checkpoint)})
    asked = target(source="url", model_id=f"{hub.url}/files/tiny.zip")
    assert "by https only" in await fail(asked, place)
    named = msgspec.structs.replace(place, hosts=(hub.host,))
    hub.redirect_to = "https://[::1]/tiny.zip"
    assert "::1 has a private address" in await fail(asked, named)
    hub.redirect_to = "ftp://example.com/tiny.zip"
    assert "only https addresses" in await fail(asked, named)


async def test_a_folder_of_the_operators_becomes_a_model(
    checkpoint: Files, place: DownloadSettings, tmp_path: Path
) -> None:
    folder = tmp_path / "own" / "tiny"
    folder.mkdir(parents=True)
    for name, data in checkpoint.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    local = msgspec.structs.replace(place, local_dir=tmp_path / "own")
    asked = target(source="local", model_id="tiny")
    record = (await succeed(asked, local)).record
    assert record.spec.source == "local"
    assert "source local is off" in await fail(asked, place)
    for name in ("../own/tiny", "/etc", "missing"):
        await fail(target(source="local", model_id=name), local)
    (tmp_path / "own" / "link").symlink_to(folder)
    assert "contains a symbolic link" in await fail(target(source="local", model_id="link"), local)
    (folder / "special_tokens_map.json").symlink_to("/etc/hostname")
    assert "only regular files are taken" in await fail(asked, local)


async def test_only_one_program_downloads_a_model(
    hub: FakeHub, checkpoint: Files, place: DownloadSettings
) -> None:
    hub.add(TINY, checkpoint)
    (place.state_dir / "downloads").mkdir()
    with FileLock(place.state_dir / "downloads" / "tiny.lock"):
        assert "another program" in await fail(target(), place)
