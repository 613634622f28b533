"""Settings are read once, and refused early by the variable's name."""

from pathlib import Path

import pytest

from sidecar.settings import Secret, Settings, SettingsError, load_settings

SECRET = "x" * 32


def test_the_environment_beats_the_defaults_and_the_command_line_beats_both() -> None:
    environ = {"SIDECAR_PORT": "9000", "SIDECAR_HOST": "0.0.0.0", "PATH": "/bin"}
    settings = load_settings(environ, {"port": 9001, "host": None})
    assert (settings.host, settings.port) == ("0.0.0.0", 9001)


def test_a_dict_in_an_equal_settings_out() -> None:
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


def test_a_secret_does_not_show_itself() -> None:
    settings = load_settings({"SIDECAR_JWT_SECRET": "do not show me, " * 3})
    assert "do not show" not in repr(settings)
    with pytest.raises(SettingsError) as refusal:
        load_settings({"SIDECAR_JWT_SECRET": "shown?"})
    assert "shown?" not in str(refusal.value)
