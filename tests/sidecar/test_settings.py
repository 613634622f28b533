"""Settings are read once, and refused early by the variable's name."""

from pathlib import Path

import pytest

from sidecar.settings import Secret, Settings, SettingsError, load_effective, load_settings

SECRET = "x" * 32


def test_the_command_line_overrides_the_environment_and_that_the_defaults() -> None:
    environ = {"SIDECAR_PORT": "9000", "SIDECAR_HOST": "0.0.0.0", "PATH": "/bin"}
    settings = load_settings(environ, {"port": 9001, "host": None})
    assert (settings.host, settings.port) == ("0.0.0.0", 9001)


def written(folder: Path, text: str) -> str:
    """A configuration file that its owner alone can read."""
    file = folder / "sidecar.toml"
    file.touch(mode=0o600)
    file.write_text(text)
    return str(file)


def test_later_sources_override_earlier_ones_and_are_named(tmp_path: Path) -> None:
    file = written(tmp_path, 'host = "::1"\nport = 9000\nlog_level = "DEBUG"')
    environ = {"SIDECAR_CONFIG": file, "SIDECAR_PORT": "9001", "SIDECAR_LOG_LEVEL": "ERROR"}
    settings, sources = load_effective(environ, {"port": 9002, "host": None})
    assert (settings.host, settings.log_level, settings.port) == ("::1", "ERROR", 9002)
    assert sources == {"host": "file", "log_level": "environment", "port": "command line"}
    assert settings.max_body_mb == Settings().max_body_mb


def test_the_command_lines_file_is_read_in_place_of_the_environments(tmp_path: Path) -> None:
    file = written(tmp_path, "port = 9000")
    environ = {"SIDECAR_CONFIG": str(tmp_path / "not there")}
    assert load_settings(environ, {"config": file}).port == 9000


def test_a_file_holds_values_of_every_kind(tmp_path: Path) -> None:
    text = f"""
        models_file = "/etc/models.json"
        require_authentication = true
        allowed_hosts = ["a.example", "b.example"]
        jwt_secret = "{SECRET}"
        drain_seconds = 3
    """
    settings = load_settings({"SIDECAR_CONFIG": written(tmp_path, text)})
    assert settings == Settings(
        models_file=Path("/etc/models.json"),
        require_authentication=True,
        allowed_hosts=("a.example", "b.example"),
        jwt_secret=Secret(SECRET),
        drain_seconds=3.0,
    )
    assert SECRET not in repr(settings)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 8000", "prot is not a setting"),
        ("config = 'other.toml'", "config is not a setting"),
        ("port = '8000'", "port: Expected `int`, got `str` (it is '8000')"),
        ("port = 70000", "port: Expected `int` <= 65535 (it is 70000)"),
        ("models_file = 7", "models_file: Expected `str`, got `int` (it is 7)"),
        ("jwt_secret = 7777", "jwt_secret: Expected `str`, got `int`"),
        ("[torchserve]\nport = 1", "torchserve: "),
        ("port =", "Invalid value (at end of document)"),
    ],
)
def test_a_file_is_refused_by_its_name_and_the_key(tmp_path: Path, text: str, said: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(SettingsError) as refusal:
        load_settings({"SIDECAR_CONFIG": file})
    assert str(refusal.value).startswith(f"{file}: {said}")
    assert "7777" not in str(refusal.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml: No such file"):
        load_settings({"SIDECAR_CONFIG": str(tmp_path / "nowhere.toml")})


def test_a_file_with_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = Path(written(tmp_path, f"jwt_secret = '{SECRET}'"))
    file.chmod(0o640)
    with pytest.raises(SettingsError, match="jwt_secret: others can read this file; chmod 600"):
        load_settings({"SIDECAR_CONFIG": str(file)})


def test_the_command_line_is_held_to_the_same_rules() -> None:
    with pytest.raises(SettingsError, match=r"--port: Expected `int` <= 65535"):
        load_settings({}, {"port": 70000})


def test_settings_from_a_dict_equal_its_values() -> None:
    environ = {
        "SIDECAR_ENVIRONMENT": "production",
        "SIDECAR_MODELS_FILE": "/etc/models.json",
        "SIDECAR_REQUIRE_AUTHENTICATION": "true",
        "SIDECAR_ALLOWED_HOSTS": "a.example, b.example",
        "SIDECAR_JWT_SECRET": SECRET,
        "SIDECAR_DRAIN_SECONDS": "3.5",
    }
    assert load_settings(environ) == Settings(
        environment="production",
        models_file=Path("/etc/models.json"),
        require_authentication=True,
        allowed_hosts=("a.example", "b.example"),
        jwt_secret=Secret(SECRET),
        drain_seconds=3.5,
    )


@pytest.mark.parametrize(
    ("variable", "text", "said"),
    [
        ("SIDECAR_PORT", "http", "SIDECAR_PORT"),
        ("SIDECAR_PORT", "70000", "SIDECAR_PORT"),
        ("SIDECAR_PROT", "8000", "SIDECAR_PROT is not a setting"),
        ("SIDECAR_DRAIN_SECONDS", "-1", "SIDECAR_DRAIN_SECONDS"),
        ("SIDECAR_ENVIRONMENT", "staging", "SIDECAR_ENVIRONMENT"),
        ("SIDECAR_JWT_SECRET", "short", "SIDECAR_JWT_SECRET must be at least 32 bytes"),
        ("SIDECAR_REQUIRE_AUTHENTICATION", "maybe", "SIDECAR_REQUIRE_AUTHENTICATION"),
    ],
)
def test_a_wrong_value_is_refused_by_its_variable(variable: str, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load_settings({variable: text})


def test_two_credential_sources_are_one_too_many() -> None:
    with pytest.raises(SettingsError, match="only one of"):
        load_settings({"SIDECAR_JWT_SECRET": SECRET, "SIDECAR_JWT_JWKS_URL": "https://a.example"})


def test_the_algorithm_must_fit_the_credential_source() -> None:
    with pytest.raises(SettingsError, match="RS256 needs a public key"):
        load_settings({"SIDECAR_JWT_SECRET": SECRET, "SIDECAR_JWT_ALGORITHM": "RS256"})


def test_the_repr_of_a_secret_hides_it() -> None:
    settings = load_settings({"SIDECAR_JWT_SECRET": "do not show me, " * 3})
    assert "do not show" not in repr(settings)
    with pytest.raises(SettingsError) as refusal:
        load_settings({"SIDECAR_JWT_SECRET": "shown?"})
    assert "shown?" not in str(refusal.value)
