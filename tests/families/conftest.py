"""A real server that downloads every family from a hub of our own."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest

from tests.checkpoints import bart
from tests.families.families import FAMILIES, Family
from tests.families.running_hub import files_of, running_hub
from tests.integration.server import ROOT, SECRET, Server
from tests.integration.tokens import bearer
from tests.waiting import until_awaited

DOWNLOAD_SECONDS = 300.0


class Served(NamedTuple):
    """The server, and the families' checkpoints by name."""

    server: Server
    folders: dict[str, Path]


@pytest.fixture(scope="package")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with every family on its hub, and none of them downloaded yet.

    It stops with the last test of the folder: tests of others need its processor and memory.
    """
    folder = tmp_path_factory.mktemp("families")
    catalog = json.loads((ROOT / "models.json").read_text())["models"]
    models = {key: catalog[key] for key in ("silero_vad", "bart_large")}
    (folder / "models.json").write_text(json.dumps({"models": models}))
    with running_hub() as hub:
        folders = {}
        for family in FAMILIES:
            folders[family.name] = folder / "checkpoints" / family.name
            family.build(folders[family.name])
            files = files_of(folders[family.name])
            parts = tuple(f"{part}/" for part in family.besides.values())
            own = {name: data for name, data in files.items() if not name.startswith(parts)}
            hub.add(f"tests/{family.name}", own, family.pipeline)
            for repository, part in family.besides.items():
                hub.add(repository, files_of(folders[family.name] / part))
        bart.build(folder / "checkpoints" / "bart")
        hub.add("facebook/bart-large", files_of(folder / "checkpoints" / "bart"))
        server = Server(
            folder,
            models_file=str(folder / "models.json"),
            model_store=str(folder / "model_store"),
            hub_endpoint=hub.url,
            min_free_disk_mb="1",
            worker_template="true",  # what it imports once, each family's worker would import
        )
        (folder / "model_store").mkdir()
        _build_archives(server)
        with server.running():
            yield Served(server, folders)


def _build_archives(server: Server) -> None:
    """Build the voice activity model's, from the wheel that other tests have fetched."""
    packages = server.folder / "var" / "packages"
    packages.parent.mkdir(exist_ok=True)
    (ROOT / "var" / "packages").mkdir(parents=True, exist_ok=True)
    packages.symlink_to(ROOT / "var" / "packages")
    environment = os.environ | server.environment
    command = [sys.executable, "-m", "sidecar.archives"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)


@pytest.fixture
async def client(served: Served) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(served.server.url) as session:
        yield session


async def download(client: aiohttp.ClientSession, family: Family, **more: Any) -> dict[str, Any]:
    """Download *family* and wait, unless another test has; return the last status."""
    async with client.get(f"/models/{family.name}") as response:
        shown = await response.json()
    if response.status == 200 and shown["state"] not in ("available", "downloading"):
        return {"status": "completed", "message": "it is here"}
    admin = bearer("admin", SECRET)
    body = {
        "source": "huggingface",
        "model_id": f"tests/{family.name}",
        "name": family.name,
        "include_vocoder": bool(family.besides),
        **more,
    }
    async with client.post("/models/download", json=body, headers=admin) as response:
        accepted = await response.json()
        assert response.status == 200, accepted
    path = f"/models/download/status/{accepted['download_id']}"

    async def status() -> dict[str, Any]:
        async with client.get(path) as response:
            return dict(await response.json())

    return await until_awaited(
        status,
        lambda shown: shown["status"] in ("completed", "failed", "cancelled"),
        DOWNLOAD_SECONDS,
    )


async def predict(client: aiohttp.ClientSession, model: str, inputs: Any) -> Any:
    """Return the result of one prediction."""
    body = {"model_name": model, "inputs": inputs, "timeout": 300}
    async with client.post("/predict", json=body) as response:
        answer = await response.json()
        assert response.status == 200, answer
        return answer["result"]


async def precision_of(client: aiohttp.ClientSession, model: str) -> str:
    """Return what the loaded *model* runs in: which one is the fastest is measured at load."""
    async with client.get(f"/models/{model}") as response:
        precision: str = (await response.json())["precision"]
    return precision
