"""A verified token is not verified again, until it expires or its key may be withdrawn."""

from pathlib import Path
from typing import Any

import pytest

from sidecar.access.api_keys import ApiKeys
from sidecar.access.authenticator import MAX_CREDENTIAL_LENGTH, REMEMBERED, Authenticator
from sidecar.access.identity import Identity
from sidecar.access.jwt_verifier import JwtVerifier
from sidecar.access.signing_keys import FixedKey
from sidecar.errors import NotAuthenticated
from sidecar.settings import Settings
from tests.sidecar.access.tokens import SECRET, Clock, authenticator_in, token


class CountedKey(FixedKey):
    """A key that counts the tokens it was asked for."""

    def __init__(self, trust_seconds: float) -> None:
        super().__init__(SECRET, ("HS256",))
        self.trust_seconds = trust_seconds
        self.asked = 0

    async def key_for(self, text: str) -> Any:
        self.asked += 1
        return await super().key_for(text)


def remembering(folder: Path, clock: Clock, key: FixedKey) -> Authenticator:
    verifier = JwtVerifier(key, Settings(jwt_leeway_seconds=0), clock)
    return Authenticator(verifier, ApiKeys(folder / "keys.json", clock), clock)


async def enter(authenticator: Authenticator, text: str) -> Identity:
    return await authenticator.identify_token(text)


async def test_a_remembered_token_expires_all_the_same(tmp_path: Path, clock: Clock) -> None:
    authenticator = authenticator_in(tmp_path, clock)
    text = token(exp=clock.now + 60)
    await enter(authenticator, text)
    clock.advance(60)
    with pytest.raises(NotAuthenticated, match="The token has expired"):
        await enter(authenticator, text)


async def test_a_remembered_token_keeps_its_leeway(tmp_path: Path, clock: Clock) -> None:
    authenticator = authenticator_in(tmp_path, clock, jwt_leeway_seconds=10)
    text = token(exp=clock.now + 60)
    await enter(authenticator, text)
    clock.advance(69)
    await enter(authenticator, text)
    clock.advance(1)
    with pytest.raises(NotAuthenticated, match="The token has expired"):
        await enter(authenticator, text)


async def test_a_key_that_may_be_withdrawn_is_asked_again(tmp_path: Path, clock: Clock) -> None:
    key = CountedKey(trust_seconds=600)
    authenticator = remembering(tmp_path, clock, key)
    text = token()
    for _ in range(3):
        await enter(authenticator, text)
    assert key.asked == 1
    clock.advance(600)
    await enter(authenticator, text)
    assert key.asked == 2


async def test_the_longest_unused_token_is_forgotten_first(tmp_path: Path, clock: Clock) -> None:
    key = CountedKey(float("inf"))
    authenticator = remembering(tmp_path, clock, key)
    first, second = token(sub="first"), token(sub="second")
    await enter(authenticator, first)
    await enter(authenticator, second)
    await enter(authenticator, first)
    for number in range(REMEMBERED - 1):
        await enter(authenticator, token(sub=str(number)))
    asked = key.asked
    await enter(authenticator, first)
    assert key.asked == asked
    await enter(authenticator, second)
    assert key.asked == asked + 1


@pytest.mark.parametrize("start", ["", "sk_"])
async def test_a_credential_that_is_too_long_is_refused_unread(
    tmp_path: Path, clock: Clock, start: str
) -> None:
    key = CountedKey(float("inf"))
    with pytest.raises(NotAuthenticated, match="is too long"):
        await enter(remembering(tmp_path, clock, key), start + "a" * MAX_CREDENTIAL_LENGTH + ".")
    assert key.asked == 0


@pytest.mark.parametrize("ended", ["revoked", "expired"])
async def test_production_with_only_an_ended_api_key_refuses_to_start(
    tmp_path: Path, clock: Clock, ended: str
) -> None:
    production: dict[str, Any] = {"jwt_secret": None, "environment": "production"}
    keys = ApiKeys(tmp_path / "var" / "api_keys.json", clock)
    _, record = keys.create("ci", [], days=1)
    authenticator_in(tmp_path, clock, **production)
    if ended == "revoked":
        keys.revoke(record.id)
    else:
        clock.advance(86_400)
    with pytest.raises(ValueError, match="production needs a credential source"):
        authenticator_in(tmp_path, clock, **production)
