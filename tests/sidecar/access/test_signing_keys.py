"""What a token is checked with: chosen by the settings, refused early when it cannot be."""

import multiprocessing
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from sidecar.access.signing_keys import signing_keys, signing_secret, uses_development_secret
from sidecar.settings import Settings, SettingsError
from tests.sidecar.access.tokens import (
    EC_KEY,
    RSA_KEY,
    SECRET,
    private_pem,
    public_pem,
    settings_in,
)

SPAWN = multiprocessing.get_context("spawn")


def refusal(settings: Settings) -> str:
    with pytest.raises(SettingsError) as refused:
        signing_keys(settings)
    return str(refused.value)


def public_key_settings(folder: Path, data: bytes, **values: Any) -> Settings:
    path = folder / "key.pem"
    path.write_bytes(data)
    return settings_in(folder, jwt_public_key_file=path, **values)


def test_development_makes_a_secret_once_and_keeps_it(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    secret = signing_secret(settings)
    assert secret is not None
    assert len(secret) >= 32
    assert signing_secret(settings) == secret
    assert signing_secret(settings_in(tmp_path / "elsewhere")) != secret


def test_the_secret_and_its_folder_are_private(
    tmp_path: Path,
) -> None:
    settings = settings_in(tmp_path)
    signing_secret(settings)
    assert stat.S_IMODE(settings.secret_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.state_dir.stat().st_mode) == 0o700
    assert [path.name for path in settings.state_dir.iterdir()] == ["jwt_secret"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_secret_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    settings = settings_in(tmp_path)
    signing_secret(settings)
    settings.secret_file.chmod(mode)
    assert refusal(settings).endswith(f"run: chmod 600 {settings.secret_file}")


def test_a_secret_file_that_was_emptied_is_refused_by_name(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    signing_secret(settings)
    for content in ("", "short"):
        settings.secret_file.write_text(content)
        assert refusal(settings).startswith(str(settings.secret_file))


def test_processes_that_start_at_once_share_one_secret(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with SPAWN.Pool(4) as processes:
        assert len(set(processes.map(signing_secret, [settings] * 16, chunksize=1))) == 1


def test_the_secret_of_the_settings_is_used_and_none_is_made(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, jwt_secret=SECRET)
    assert signing_secret(settings) == SECRET.encode()
    assert not settings.state_dir.exists()


def test_production_makes_no_secret(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, environment="production")
    assert signing_keys(settings) is None
    assert not settings.state_dir.exists()


@pytest.mark.parametrize(
    ("values", "used"),
    [
        ({}, True),
        ({"environment": "production"}, False),
        ({"jwt_secret": SECRET}, False),
        ({"jwt_jwks_url": "https://issuer.example/keys"}, False),
        ({"jwt_public_key_file": Path("key.pem")}, False),
    ],
)
def test_the_development_secret_is_only_the_fallback(values: dict[str, Any], used: bool) -> None:
    assert uses_development_secret(Settings(**values)) is used


def test_an_asymmetric_algorithm_without_a_key_is_refused(tmp_path: Path) -> None:
    message = refusal(settings_in(tmp_path, jwt_algorithm="ES256"))
    assert message.startswith("SIDECAR_JWT_ALGORITHM is ES256: set SIDECAR_JWT_PUBLIC_KEY_FILE")


def test_a_secret_that_is_a_public_key_is_refused(tmp_path: Path) -> None:
    message = refusal(settings_in(tmp_path, jwt_secret=public_pem(RSA_KEY).decode()))
    assert message.startswith("SIDECAR_JWT_SECRET: ")


@pytest.mark.parametrize(("key", "algorithm"), [(RSA_KEY, "RS256"), (EC_KEY, "ES256")])
def test_the_kind_of_a_public_key_says_the_algorithm(
    tmp_path: Path, key: Any, algorithm: str
) -> None:
    keys = signing_keys(public_key_settings(tmp_path, public_pem(key)))
    assert keys is not None
    assert keys.algorithms == (algorithm,)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        public_pem(rsa.generate_private_key(65537, 1024)),
        public_pem(ec.generate_private_key(ec.SECP384R1())),
        public_pem(ed25519.Ed25519PrivateKey.generate()),  # type: ignore[arg-type]
    ],
)
def test_an_unsuitable_public_key_is_refused(tmp_path: Path, data: bytes) -> None:
    message = refusal(public_key_settings(tmp_path, data))
    assert message.startswith("SIDECAR_JWT_PUBLIC_KEY_FILE: ")
    assert message.endswith("RSA of at least 2048 bits, or EC on P-256")


def test_a_public_key_of_another_algorithm_than_the_settings_is_refused(tmp_path: Path) -> None:
    settings = public_key_settings(tmp_path, public_pem(RSA_KEY), jwt_algorithm="ES256")
    assert "ES256 need a PEM public key" in refusal(settings)


def test_a_private_key_in_the_place_of_a_public_one_is_refused(tmp_path: Path) -> None:
    message = refusal(public_key_settings(tmp_path, private_pem(RSA_KEY)))
    assert message.endswith("holds a private key; give the public one")


def test_a_public_key_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, jwt_public_key_file=tmp_path / "none.pem")
    assert refusal(settings).endswith("none.pem: No such file or directory")


@pytest.mark.parametrize("url", ["", "file:///etc/passwd", "issuer.example/keys"])
def test_a_jwks_address_that_is_none_is_refused(tmp_path: Path, url: str) -> None:
    assert refusal(settings_in(tmp_path, jwt_jwks_url=url)).startswith("SIDECAR_JWT_JWKS_URL: ")
