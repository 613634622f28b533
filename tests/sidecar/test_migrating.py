"""Every command of docs/migrating.md runs as it stands there."""

import asyncio
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from sidecar.app import create_management_app
from sidecar.program import PROGRAM
from tests.fake_torchserve import FakeTorchServe
from tests.sidecar.catalog.test_own_archives import as_mar, files
from tests.sidecar.conftest import StartSidecar
from tests.sidecar.web.test_refusals_by_limits import bearer

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "migrating.md").read_text()
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
    if line
]
STARTS = [line for line in COMMANDS if line.startswith("scripts/serve ")]
ADDS = [line for line in COMMANDS if line.startswith("scripts/models ")]
MANAGED = [sys.executable, "-m", "sidecar", "--torchserve", "managed"]
CALLS = [line for line in COMMANDS if line.startswith("curl ")]


def test_every_documented_command_is_tested() -> None:
    assert sorted(STARTS + ADDS + CALLS) == sorted(COMMANDS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's archives, and their config.properties."""
    (tmp_path / "store").mkdir()
    as_mar(tmp_path / "store" / "densenet.mar", files("densenet"))
    as_mar(tmp_path / "other.mar", files("densenet"))
    (tmp_path / "models.json").write_text('{"models": {}}')
    (tmp_path / "theirs.properties").write_text(
        f"model_store={tmp_path / 'store'}\n"
        "inference_address=http://0.0.0.0:8080\n"
        "load_models=densenet.mar\n"
    )
    (tmp_path / "some_text.txt").write_text("some text")
    return tmp_path


async def run(command: list[str], folder: Path, **variables: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env={
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "SIDECAR_STATE_DIR": str(folder / "state"),
            "SIDECAR_MODELS_FILE": str(folder / "models.json"),
            **variables,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


@pytest.mark.parametrize("line", STARTS)
async def test_the_servers_commands_are_right(folder: Path, line: str) -> None:
    here = re.sub(r"theirs\.properties|(?<=--model-store )store", rf"{folder}/\g<0>", line)
    arguments = shlex.split(here)[1:]
    if "--check-config" not in arguments:  # it would serve
        arguments.append("--check-config")
    command = [*MANAGED, *arguments]
    code, output = await run(command, folder)
    assert code == 0, output
    if "--ts-config" not in line:
        assert "load_models: densenet: loaded at the start, from densenet.mar" in output
        return
    for example in re.findall(r"^theirs\.properties: (\w+: .*)$", TEXT, re.MULTILINE):
        assert example.replace("/models", str(folder / "store")) in output


async def test_torchserves_command_line_works_and_says_what_it_leaves_out(folder: Path) -> None:
    line = "--start --ncs --foreground --disable-token-auth --enable-model-api --check-config"
    command = [*MANAGED, *line.split(), "--model-store", f"{folder}/store"]
    code, output = await run([*command, "--models", "densenet=densenet.mar", "gone.mar"], folder)
    assert code == 0, output
    lines, missing = output.splitlines(), f"there is no such archive in {folder}/store"
    for name in ("--start", "--ncs", "--foreground", "--disable-token-auth", "--enable-model-api"):
        assert any(each.startswith(f"command line: {name}: left out: ") for each in lines)
    assert lines[-2:] == [
        "command line: load_models: densenet: loaded at the start, from densenet.mar",
        f"command line: load_models: gone.mar: left out, {missing}",
    ]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--stop", "--stop: Ctrl-C, or SIGTERM to its process, stops the server"),
        ("--ncs --log-config=log4j2.xml", "--log-config: SIDECAR_LOG_LEVEL and"),
        ("--ncs --bogus", "unrecognized arguments: --bogus"),
        ("--ts-config gone.properties", "sidecar: gone.properties: No such file or directory"),
    ],
)
async def test_what_torchserve_alone_does_is_refused(folder: Path, options: str, told: str) -> None:
    code, output = await run([*MANAGED, *options.split()], folder)
    assert (code, told in output) == (2, True), output


def test_relative_paths_start_where_the_caller_is(folder: Path) -> None:
    """The script goes to the project's root, where another config.properties lies."""
    (folder / "config.properties").write_text("load_models=densenet.mar\n")
    options = ["--ts-config", "config.properties", "--model-store=store", "--check-config"]
    done = subprocess.run(
        [ROOT / "scripts" / "serve", *options],
        cwd=folder,
        env=os.environ | {"SIDECAR_STATE_DIR": str(folder / "state")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "load_models: densenet: loaded at the start, from densenet.mar" in done.stdout
    assert f'model_store = "{folder}/store"' in done.stdout


@pytest.mark.parametrize("line", ADDS)
async def test_an_archive_is_added(folder: Path, line: str) -> None:
    arguments = shlex.split(line.replace("other.mar", f"{folder}/other.mar"))[1:]
    command = [sys.executable, "-m", "sidecar.downloads", *arguments]
    code, output = await run(command, folder, SIDECAR_MODEL_STORE=str(folder / "store"))
    assert (code, "other is in" in output) == (0, True), output


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
@pytest.mark.parametrize("line", CALLS)
async def test_a_client_is_answered(
    folder: Path, start: StartSidecar, torchserve: FakeTorchServe, line: str
) -> None:
    torchserve.archives |= {"densenet.mar", "other.mar"}
    shutil.copy(folder / "other.mar", folder / "store")
    client = await start(
        catalog={"densenet": {"handler": "own", "auto_load": True}},
        model_store=folder / "store",
        torchserve_metrics=True,
    )
    assert client.app is not None
    registration = client.app[PROGRAM].registration
    if "/second" in line:
        await registration.register("other.mar", "second", {}, initial_workers=1)
    async with TestServer(create_management_app(client.app[PROGRAM])) as management:
        code, output = await run(
            ["bash", "-c", f"cd {folder}; {line} --silent --fail-with-body"],
            folder,
            URL=str(client.make_url("/")).rstrip("/"),
            MANAGEMENT_URL=str(management.make_url("/")).rstrip("/"),
            TOKEN=bearer("me", "admin")["Authorization"].removeprefix("Bearer "),
        )
    assert code == 0, output
