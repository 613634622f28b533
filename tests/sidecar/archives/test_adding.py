"""`scripts/models add` and `build --version`, as a program, beside a server and without one."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from sidecar.catalog.model_store import archive_version
from sidecar.models.states import State
from sidecar.program import PROGRAM
from sidecar.state_folder import own_state_folder
from tests.fake_torchserve import FakeTorchServe
from tests.sidecar.catalog.test_own_archives import as_mar, files
from tests.sidecar.conftest import CATALOG, Client, StartSidecar
from tests.sidecar.models.test_sleep_and_wake import ask, change, model_of, until_state

ENTRY: dict[str, Any] = {
    "display_name": "Sums",
    "description": "",
    "source": "local",
    "path": "sums.pt2",
    "task": "tensor",
    "handler": "tensor_handler",
    "handler_options": {"format": "export", "program": "sums.pt2"},
}


class Folder:
    """An operator's folder: models.json, files of models, and `scripts/models` beside them."""

    def __init__(self, path: Path, catalog: dict[str, Any]) -> None:
        self.path = path
        self.models_file = path / "models.json"
        self.models_file.write_text(json.dumps({"models": catalog}))
        self.store = path / "store"
        (path / "sums.pt2").write_bytes(b"a program")

    def entry(self, **entries: Any) -> Path:
        file = self.path / "entry.json"
        file.write_text(json.dumps(entries))
        return file

    @property
    def keys(self) -> list[str]:
        return list(json.loads(self.models_file.read_text())["models"])

    async def models(self, *arguments: str | Path) -> tuple[int | None, str]:
        """Exit code and all output."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "sidecar.downloads",
            *arguments,
            env={
                "PATH": "/usr/bin:/bin",
                "SIDECAR_MODELS_FILE": str(self.models_file),
                "SIDECAR_MODEL_STORE": str(self.store),
                "SIDECAR_STATE_DIR": str(self.path / "var"),
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        return process.returncode, output.decode()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path, CATALOG)


async def serve(start: StartSidecar, folder: Folder) -> Client:
    """Start a sidecar that has *folder*'s models.json."""
    return await start(models_file=folder.models_file, model_store=folder.store)


async def test_an_entry_is_added_built_and_taken_by_the_running_server(
    start: StartSidecar, folder: Folder, torchserve: FakeTorchServe
) -> None:
    client = await serve(start, folder)
    torchserve.archives.add("sums.mar")
    port = client.port
    owned = own_state_folder(folder.path / "var", f"127.0.0.1:{port}")
    await asyncio.to_thread(owned.__enter__)
    code, said = await folder.models("add", folder.entry(sums=ENTRY | {"auto_load": True}))
    await asyncio.to_thread(owned.__exit__, None, None, None)
    assert (code, said.splitlines()[0]) == (0, f"building {folder.store / 'sums.mar'}"), said
    assert (
        said.splitlines()[-1] == f"sums: the server at http://127.0.0.1:{port} has it; it is ready"
    )
    assert folder.keys == [*CATALOG, "sums"]
    assert await ask(client, "sums") == 200


async def test_a_wrong_entry_changes_nothing(folder: Folder) -> None:
    before = folder.models_file.read_bytes()
    wrong: dict[str, tuple[dict[str, Any], str]] = {
        "task": ({"task": "tensr"}, "sums: "),
        "path": ({"path": "nowhere.pt2"}, "nowhere.pt2 is not there"),
        "alias": ({"aliases": ["the-echo"]}, "the name 'the_echo' is also echo's"),
    }
    for change_, said in wrong.values():
        code, told = await folder.models("add", folder.entry(sums=ENTRY | change_))
        assert code == 2
        assert said in told
        assert told.count("\n") <= 2, told
    assert folder.models_file.read_bytes() == before
    assert not (folder.store / "sums.mar").exists()


async def test_a_file_that_holds_no_entry_is_refused_with_what_one_looks_like(
    folder: Folder,
) -> None:
    code, told = await folder.models("add", folder.entry(display_name="Sums"))
    assert (code, told.count("\n")) == (2, 1)
    assert 'expected {"name": {…}}' in told


async def test_an_operator_lets_a_changed_entry_be_taken(
    start: StartSidecar, folder: Folder, torchserve: FakeTorchServe
) -> None:
    client = await serve(start, folder)
    torchserve.archives.add("sums.mar")
    catalog = CATALOG | {"sums": ENTRY}
    folder.models_file.write_text(json.dumps({"models": catalog}))
    taken = await change(client, "/models/sums/add")
    assert (taken["state"], taken["display_name"]) == ("archived", "Sums")
    assert (folder.store / "sums.mar").exists()  # built by the server
    assert await ask(client, "sums") == 200
    before = model_of(client, "sums")
    assert (await change(client, "/models/sums/add"))["state"] == "ready"
    assert model_of(client, "sums") is before  # nothing had changed
    catalog["sums"] = ENTRY | {"display_name": "Better sums"}
    folder.models_file.write_text(json.dumps({"models": catalog}))
    assert (await change(client, "/models/sums/add"))["display_name"] == "Better sums"
    assert before.state is State.REMOVED
    assert await ask(client, "sums") == 200


async def test_only_an_operator_may_add_and_only_what_is_in_the_file(
    start: StartSidecar, folder: Folder
) -> None:
    client = await serve(start, folder)
    assert (await client.post("/models/echo/add", json={})).status == 401
    refused = await change(client, "/models/nobody/add", 404)
    assert refused["detail"] == "model_name: models.json has no entry of this name"
    catalog = CATALOG | {"sums": ENTRY | {"path": "nowhere.pt2"}}
    folder.models_file.write_text(json.dumps({"models": catalog}))
    refused = await change(client, "/models/sums/add", 409)
    assert "nowhere.pt2 is not there" in refused["detail"]
    folder.models_file.write_text("{")
    assert (await change(client, "/models/sums/add", 409))["error"]
    assert await ask(client) == 200  # what was there still answers


async def test_an_edited_file_gives_new_entries_unless_it_is_wrong(
    start: StartSidecar, folder: Folder, torchserve: FakeTorchServe
) -> None:
    client = await serve(start, folder)
    assert client.app is not None
    watch = client.app[PROGRAM].catalog_watch
    folder.models_file.write_text('{"models": {')
    await watch.look()
    assert await ask(client) == 200
    torchserve.archives.add("sums.mar")
    changed = {"echo": CATALOG["echo"] | {"display_name": "Changed"}, "sums": ENTRY}
    folder.models_file.write_text(json.dumps({"models": changed}))
    await watch.look()
    assert await ask(client, "sums") == 200
    assert model_of(client).spec.display_name == "Echo"  # only when it is asked for
    assert await ask(client, "other") == 200  # it has gone from the file, and stays


async def test_a_second_version_is_built_beside_the_first_and_loaded(
    start: StartSidecar, folder: Folder, torchserve: FakeTorchServe
) -> None:
    folder.models_file.write_text(json.dumps({"models": CATALOG | {"sums": ENTRY}}))
    assert (await folder.models("build", "sums"))[0] == 0
    code, said = await folder.models("build", "sums", "--version", "2.0")
    path = folder.store / "sums-2.0.mar"
    assert (code, said) == (0, f"building {path}\n")
    assert await asyncio.to_thread(archive_version, path) == "2.0"
    assert await asyncio.to_thread(archive_version, folder.store / "sums.mar") == "1.0"
    torchserve.archives |= {"sums.mar", "sums-2.0.mar"}
    torchserve.versions["sums-2.0.mar"] = "2.0"
    client = await serve(start, folder)
    loaded = await change(client, "/models/sums/load", version="2.0", default=True)
    assert (loaded["version"], loaded["loaded_versions"]) == ("2.0", ["1.0", "2.0"])
    await until_state("ready", client, "sums")
    for wrong in (["--version", "two"], ["other", "--version", "2.0"]):
        assert (await folder.models("build", "sums", *wrong))[0] == 2


async def test_an_archive_with_a_handler_of_its_own_is_added_by_its_file(
    folder: Folder, start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    as_mar(folder.path / "mine.mar", files(config={"batchSize": 4, "maxBatchDelay": 20}))
    torchserve.archives.add("mine.mar")
    client = await serve(start, folder)
    owned = own_state_folder(folder.path / "var", f"127.0.0.1:{client.port}")
    await asyncio.to_thread(owned.__enter__)
    code, output = await folder.models(
        "add", folder.path / "mine.mar", "--name", "Renamed", "--batch-size", "2"
    )
    await asyncio.to_thread(owned.__exit__, None, None, None)
    assert (code, "Renamed is in" in output) == (0, True), output
    response = await client.post("/predictions/Renamed", data=b"x")
    assert (response.status, await response.read()) == (200, b"x")
    model = torchserve.models["Renamed"]
    assert model["batchSize"] == 2
    code, output = await folder.models("add", folder.path / "mine.mar", "--name", "Again")
    assert (code, "is there already" in output) == (2, True)


async def test_archives_that_appear_in_a_store_that_is_offered_are_served(
    folder: Folder, start: StartSidecar, torchserve: FakeTorchServe
) -> None:
    folder.store.mkdir()
    client = await start(
        models_file=folder.models_file, model_store=folder.store, serve_archives=True
    )
    as_mar(folder.store / "mine.mar", files())
    torchserve.archives.add("mine.mar")
    assert client.app is not None
    await client.app[PROGRAM].catalog_watch.look()
    assert (await client.post("/predictions/mine", data=b"x")).status == 200
