"""Secrets, signing keys and tokens for the tests, and a clock that is set by hand."""

import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from sidecar.access.authenticator import Authenticator, build_authenticator
from sidecar.settings import Secret, Settings

SECRET = Secret("a secret for tests that is long enough, certainly")
RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class Clock:
    """The time of day, which passes only when told to."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def settings_in(folder: Path, **values: Any) -> Settings:
    return Settings(state_dir=folder / "var", **values)


def authenticator_in(folder: Path, clock: Clock, **values: Any) -> Authenticator:
    """With the tests' secret, no leeway, and these settings."""
    values = {"jwt_secret": SECRET, "jwt_leeway_seconds": 0} | values
    return build_authenticator(settings_in(folder, **values), clock)


def token(
    key: Any = SECRET,
    algorithm: str = "HS256",
    *,
    headers: dict[str, Any] | None = None,
    **claims: Any,
) -> str:
    """A good token, valid for an hour, with *claims* on top; None takes a claim away."""
    values = {"sub": "ada", "exp": int(time.time()) + 3600, "scope": "stats"} | claims
    present = {name: value for name, value in values.items() if value is not None}
    return jwt.encode(present, key, algorithm=algorithm, headers=headers)


def public_pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def private_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def jwk(key: PrivateKey, key_id: str) -> dict[str, Any]:
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        text = RSAAlgorithm.to_jwk(public)
    else:
        text = ECAlgorithm.to_jwk(public)
    return {**json.loads(text), "kid": key_id, "use": "sig"}
