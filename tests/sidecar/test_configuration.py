"""`--check-config` in a process of its own: what it prints, and that it changes nothing."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sidecar.settings import Settings
from tests.waiting import LIMIT_SECONDS

ROOT = Path(__file__).resolve().parents[2]
HIDDEN = "do not show me, whoever asks for it"


def check(folder: Path, *flags: str, **environ: str) -> subprocess.CompletedProcess[str]:
    variables = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "sidecar", "--check-config", *flags],
        cwd=ROOT,
        env=variables | {"SIDECAR_STATE_DIR": str(folder / "var")} | environ,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
    )


def test_settings_are_printed_with_sources_and_secrets_masked(tmp_path: Path) -> None:
    file = tmp_path / "sidecar.toml"
    file.write_text('drain_seconds = 3\nallowed_hosts = ["a", "b"]\n')
    done = check(
        tmp_path,
        "--config",
        str(file),
        "--port",
        "9000",
        SIDECAR_JWT_SECRET=HIDDEN,
        SIDECAR_INFERENCE_URL="http://me:password@localhost:8080",
    )
    assert (done.returncode, done.stderr) == (0, "")
    rows = dict(line.rsplit("  # ", 1) for line in done.stdout.splitlines())
    by_name = {
        text.removeprefix("# ").split()[0]: (text.strip(), source) for text, source in rows.items()
    }
    assert tuple(by_name) == Settings.__struct_fields__
    assert by_name["port"] == ("port = 9000", "command line")
    assert by_name["drain_seconds"] == ("drain_seconds = 3", "file")
    assert by_name["allowed_hosts"] == ('allowed_hosts = ["a", "b"]', "file")
    assert by_name["jwt_secret"] == ('jwt_secret = "***"', "environment")
    assert by_name["access_log"] == ("access_log = true", "default")
    assert by_name["log_dir"] == ("# log_dir is not set", "default")
    assert by_name["inference_url"][0] == 'inference_url = "http://***@localhost:8080"'
    assert HIDDEN not in done.stdout
    assert "password" not in done.stdout
    assert not (tmp_path / "var").exists()


def test_the_printed_settings_are_a_valid_file(tmp_path: Path) -> None:
    printed = check(tmp_path).stdout
    assert tomllib.loads(printed)["log_max_mb"] == 20
    file = tmp_path / "sidecar.toml"
    file.write_text(printed)
    again = check(tmp_path, "--config", str(file))
    assert again.returncode == 0
    assert "port = 8000                                         # file" in again.stdout


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"SIDECAR_CONFIG": "{folder}/nowhere.toml"}, "nowhere.toml: No such file"),
        ({"SIDECAR_PROT": "1"}, "SIDECAR_PROT is not a setting"),
        (
            {"SIDECAR_MODELS_FILE": "{folder}/broken.json"},
            "broken.json, line 1, column 13: a: the field display_name is missing",
        ),
        ({"SIDECAR_MODELS_FILE": "{folder}/nowhere.json"}, "nowhere.json: No such file"),
        ({"SIDECAR_ENVIRONMENT": "production"}, "production needs a credential source"),
        ({"SIDECAR_JWT_PUBLIC_KEY_FILE": "{folder}/no.pem"}, "SIDECAR_JWT_PUBLIC_KEY_FILE: "),
        (
            {"SIDECAR_TORCHSERVE": "managed", "SIDECAR_TORCHSERVE_CONFIG": "{folder}/none"},
            "SIDECAR_TORCHSERVE_CONFIG: ",
        ),
    ],
)
def test_a_wrong_configuration_is_one_sentence_and_exit_code_2(
    tmp_path: Path, environ: dict[str, str], said: str
) -> None:
    (tmp_path / "broken.json").write_text('{"models": {"a": {}}}')
    values = {name: value.format(folder=tmp_path) for name, value in environ.items()}
    done = check(tmp_path, **values)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
