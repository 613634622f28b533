"""`scripts/models`, as a program."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from tests.hub import FakeHub
from tests.sidecar.downloads.conftest import TINY, Files
from tests.sidecar.downloads.test_routes import KNOWN, StartWithHub, begin, predict

__all__ = ["begin"]


@pytest.fixture
def environment(hub: FakeHub, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "models.json").write_text(json.dumps({"models": {"known": KNOWN}}))
    return {
        "SIDECAR_HUB_ENDPOINT": hub.url,
        "SIDECAR_MODELS_FILE": str(tmp_path / "models.json"),
        "SIDECAR_MODEL_STORE": str(tmp_path / "store"),
        "SIDECAR_STATE_DIR": str(tmp_path / "var"),
        "SIDECAR_MIN_FREE_DISK_MB": "1",
    }


async def models(environment: dict[str, str], *arguments: str) -> tuple[int | None, str]:
    """Exit code and all output."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sidecar.downloads",
        *arguments,
        env={"PATH": "/usr/bin:/bin"} | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def test_a_model_is_downloaded_listed_and_removed(
    environment: dict[str, str], hub: FakeHub, checkpoint: Files, tmp_path: Path
) -> None:
    commit = hub.add("tests/known", checkpoint)
    code, said = await models(environment, "download", "known")
    assert (code, said.splitlines()[0]) == (0, "known: asking the hub for tests/known")
    assert said.splitlines()[-1] == "known: 0.6 MB, ready to be loaded"
    assert f"here ({commit[:12]})" in (await models(environment, "list"))[1]
    assert "here already" in (await models(environment, "download", "known"))[1]
    (tmp_path / "store" / "known.mar").unlink()
    code, said = await models(environment, "build")
    assert (code, (tmp_path / "store" / "known.mar").exists()) == (0, True), said
    assert (await models(environment, "remove", "known"))[0] == 0
    assert "available" in (await models(environment, "list"))[1]
    assert (await models(environment, "remove", "known"))[0] == 1


async def test_a_failure_is_told_in_one_sentence(environment: dict[str, str], hub: FakeHub) -> None:
    code, said = await models(environment, "download", "known")
    assert code == 1
    assert "models: known: the hub has no model tests/known" in said
    code, said = await models(environment, "download", TINY, "--name", "no name")
    assert (code, said.startswith("models: name: ")) == (2, True)


async def test_a_running_server_notices_what_was_downloaded(
    begin: StartWithHub, environment: dict[str, str], hub: FakeHub, checkpoint: Files
) -> None:
    hub.add(TINY, checkpoint)
    client = await begin()
    code, said = await models(environment, "download", TINY, "--name", "tiny")
    assert code == 0, said
    assert (await predict(client, "tiny", 200))["result"] == "a text"
