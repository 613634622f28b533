"""Credentials for the servers of the tests and benchmarks."""

import time

import jwt


def bearer(scope: str, secret: str) -> dict[str, str]:
    """Headers with a token of *scope* that lives for an hour."""
    claims = {"sub": "tester", "scope": scope, "exp": int(time.time()) + 3600}
    return {"Authorization": f"Bearer {jwt.encode(claims, secret, 'HS256')}"}
