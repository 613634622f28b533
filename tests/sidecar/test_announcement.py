"""What an operator reads first."""

import asyncio
import os
import shlex
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from sidecar.announcement import announce, starting, waiting
from sidecar.settings import Settings
from tests.sidecar.conftest import CATALOG, ECHO, Client, StartSidecar
from tests.sidecar.models.test_sleep_and_wake import admin, services_of

ROOT = Path(__file__).parents[2]


def test_a_public_server_announces_the_hosts_it_answers() -> None:
    settings = Settings(host="0.0.0.0", allowed_hosts=("api.example",))
    assert starting(settings).splitlines() == [
        "Starting on http://0.0.0.0:8000 ...",
        "Answers requests to any address, api.example, localhost; SIDECAR_ALLOWED_HOSTS adds names",
    ]


def test_a_server_for_this_machine_alone_says_nothing_of_hosts() -> None:
    assert starting(Settings()) == "Starting on http://127.0.0.1:8000 ..."


TENSOR = ECHO | {"handler_options": {"module": "net", "class": "Net", "input": {"shape": [2, 2]}}}


async def said_by(client: Client) -> str:
    said: list[str] = []
    await announce(services_of(client), said.append)
    return said[-1]


async def run_as_printed(client: Client, line: str, token: str = "") -> int:
    """Send what a curl command of the terminal sends; return the status."""
    words = shlex.split(line.replace("$TOKEN", token))
    headers = [word.split(": ", 1) for flag, word in pairwise(words) if flag == "-H"]
    body = words[words.index("-d") + 1]
    return (await client.post("/predict", data=body, headers=dict(headers))).status


def line_of(said: str, name: str) -> str:
    (line,) = [each for each in said.splitlines() if each.startswith(f"  {name} ")]
    return line.removeprefix(f"  {name}").strip()


async def test_the_call_on_the_terminal_works_also_without_the_example(
    start: StartSidecar,
) -> None:
    client = await start(catalog=CATALOG | {"echo": TENSOR})
    call = line_of(await said_by(client), "try")
    assert '"inputs": [[1, 1], [1, 1]]' in call
    assert await run_as_printed(client, call) == 200


async def test_the_proposed_call_has_a_token_where_one_is_needed(
    start: StartSidecar,
) -> None:
    client = await start(
        catalog=CATALOG | {"echo": TENSOR}, environment="production", require_authentication=True
    )
    said = await said_by(client)
    assert "scripts/token key create --name me" in line_of(said, "token")  # no secret is needed
    call = line_of(said, "try")
    assert await run_as_printed(client, call) == 401
    token = admin()["Authorization"].removeprefix("Bearer ")
    assert await run_as_printed(client, call, token) == 200


async def output_of(command: str) -> str:
    """Run *command* as somebody does who copies it from the terminal, without our variables."""
    ran = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        command,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await asyncio.wait_for(ran.communicate(), 60)
    assert ran.returncode == 0
    return output.decode().strip()


@pytest.mark.skipif(
    Path(sys.prefix).resolve() != (ROOT / ".venv").resolve(),
    reason="the tests do not run in .venv, which scripts/token makes where it is missing",
)
@pytest.mark.parametrize(
    "settings",
    [{"jwt_secret": None}, {}, {"require_authentication": True}],
    ids=["a secret of development", "another secret", "a credential for every call"],
)
async def test_the_announced_token_command_prints_a_valid_credential(
    start: StartSidecar, settings: dict[str, Any]
) -> None:
    client = await start(catalog=CATALOG | {"echo": TENSOR}, **settings)
    said = await said_by(client)
    command, _, _ = line_of(said, "token").partition(" (for ")
    token = await output_of(f'{command}; echo "${{TOKEN:-}}"')
    assert (await client.get("/stats")).status == 401
    bearer = {"Authorization": f"Bearer {token}"}
    assert (await client.get("/stats", headers=bearer)).status == 200
    assert await run_as_printed(client, line_of(said, "try"), token) == 200


async def test_no_call_is_proposed_without_a_sure_input(start: StartSidecar) -> None:
    said = await said_by(await start())  # the echo says nothing of its shape
    assert "  try " not in said
    assert "  look " in said


def test_the_announcement_names_the_awaited_torchserve(tmp_path: Path) -> None:
    settings = Settings(
        inference_url="http://elsewhere:9080", torchserve_key_file=tmp_path / "key_file.json"
    )
    said = waiting(settings)
    assert "Waiting for TorchServe at http://elsewhere:9080 (SIDECAR_INFERENCE_URL)" in said
    assert "key_file.json (SIDECAR_TORCHSERVE_KEY_FILE), which is not there" in said
