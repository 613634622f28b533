import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.sidecar.access.tokens import RSA_KEY, Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rsa_key() -> rsa.RSAPrivateKey:
    return RSA_KEY
