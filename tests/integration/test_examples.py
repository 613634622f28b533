"""The programs in examples/ do what they say, on a real server."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.server import ROOT, Server
from tests.needs import need_program

pytestmark = pytest.mark.integration
WITH_OTHER_MODELS = {"chat.py"}  # tests/families runs it
EXAMPLES = sorted(path for path in (ROOT / "examples").iterdir() if path.suffix in (".py", ".sh"))
PAGE = ROOT / "examples" / "page.html"  # tests/console/test_page_example.py opens it
HEARD = "this is how i sound"


@pytest.mark.parametrize(
    "path",
    [path for path in EXAMPLES if path.name not in WITH_OTHER_MODELS],
    ids=lambda path: path.name,
)
def test_an_example_runs_and_prints_what_was_heard(path: Path, server: Server) -> None:
    program = sys.executable if path.suffix == ".py" else need_program("bash")
    address = server.grpc_address if "grpc" in path.name else server.url
    done = subprocess.run(
        [program, path, address], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert HEARD in done.stdout.lower()


@pytest.mark.parametrize("path", [*EXAMPLES, PAGE], ids=lambda path: path.name)
def test_every_example_has_its_line_in_their_readme(path: Path) -> None:
    assert f"[{path.name}]({path.name})" in (ROOT / "examples" / "README.md").read_text()
