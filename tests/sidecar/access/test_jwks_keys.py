"""Keys at an address: fetched seldom, kept while the address is away, never stormed."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from sidecar.access.jwks_keys import (
    FRESH_SECONDS,
    MAX_BYTES,
    PAUSE_SECONDS,
    STALE_SECONDS,
    JwksKeys,
)
from sidecar.access.jwt_verifier import JwtVerifier
from sidecar.errors import NotAuthenticated, Unavailable
from sidecar.settings import Settings, SettingsError
from tests.sidecar.access.issuer import Issuer
from tests.sidecar.access.tokens import EC_KEY, RSA_KEY, SECRET, Clock, jwk, token
from tests.waiting import LIMIT_SECONDS, until

BOTH = ("RS256", "ES256")


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    yield issuer
    issuer.close()


class Door:
    """Who is behind a token, by the keys of *issuer*."""

    def __init__(
        self,
        issuer: Issuer,
        clock: Clock,
        algorithms: tuple[str, ...] = BOTH,
        fetch_seconds: float = LIMIT_SECONDS,
    ) -> None:
        self.keys = JwksKeys(issuer.url, algorithms, clock, fetch_seconds)
        self._verifier = JwtVerifier(self.keys, Settings())

    async def enter(self, text: str) -> str:
        return (await self._verifier.verify(text)).subject

    async def refusal(self, text: str) -> str:
        with pytest.raises(NotAuthenticated) as refused:
            await self.enter(text)
        return refused.value.message


SLOW_SECONDS = 1.0  # for a whole fetch, where the issuer is slow


def signed(key: Any = RSA_KEY, key_id: str | None = "rsa", **claims: Any) -> str:
    algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
    return token(key, algorithm, headers={} if key_id is None else {"kid": key_id}, **claims)


def unknown(number: int) -> str:
    return signed(key_id=f"garbage-{number}")


async def test_a_token_is_checked_with_the_key_that_it_names(issuer: Issuer, clock: Clock) -> None:
    door = Door(issuer, clock)
    assert await door.enter(signed()) == "ada"
    assert await door.enter(signed(EC_KEY, "ec")) == "ada"
    other = rsa.generate_private_key(65537, 2048)
    assert await door.refusal(signed(other)) == "The token's signature is wrong"
    assert issuer.fetches == 1


async def test_a_token_must_name_a_key_that_is_there(issuer: Issuer, clock: Clock) -> None:
    door = Door(issuer, clock)
    assert await door.refusal(signed(key_id=None)) == "The token does not name its key (kid)"
    assert await door.refusal(unknown(1)) == "The token was signed with an unknown key"
    for text in ("", "a", "a.b.c", "é.é.é", "\ud800.a.b"):
        assert await door.refusal(text) == "The token is malformed"


async def test_a_key_is_used_with_its_own_algorithm_only(issuer: Issuer, clock: Clock) -> None:
    door = Door(issuer, clock)
    wrong = "The token is signed with another algorithm"
    assert await door.refusal(signed(EC_KEY, "rsa")) == wrong
    assert await door.refusal(token(SECRET, headers={"kid": "rsa"})) == wrong
    unsigned = token(None, "none", headers={"kid": "rsa"})
    assert await door.refusal(unsigned) == wrong


async def test_a_set_algorithm_excludes_the_other(issuer: Issuer, clock: Clock) -> None:
    door = Door(issuer, clock, ("ES256",))
    assert await door.enter(signed(EC_KEY, "ec")) == "ada"
    assert await door.refusal(signed()) == "The token was signed with an unknown key"


async def test_secret_short_and_strange_keys_are_not_used(issuer: Issuer, clock: Clock) -> None:
    secret = {"kty": "oct", "k": "c2VjcmV0" * 8, "kid": "oct"}
    short = jwk(rsa.generate_private_key(65537, 1024), "short")
    other = jwk(ec.generate_private_key(ec.SECP384R1()), "p384")
    issuer.publish(jwk(RSA_KEY, "rsa"), secret, short, other, {"kty": "new", "kid": "new"})
    door = Door(issuer, clock)
    assert await door.enter(signed()) == "ada"
    for key_id in ("oct", "short", "p384", "new"):
        assert "unknown key" in await door.refusal(signed(key_id=key_id))


async def test_a_new_key_is_fetched_when_a_token_names_it(issuer: Issuer, clock: Clock) -> None:
    door = Door(issuer, clock)
    await door.enter(signed())
    fresh = ec.generate_private_key(ec.SECP256R1())
    issuer.publish(jwk(fresh, "new"))
    assert "unknown key" in await door.refusal(signed(fresh, "new"))
    clock.advance(PAUSE_SECONDS)
    assert await door.enter(signed(fresh, "new")) == "ada"
    assert "unknown key" in await door.refusal(signed())


async def test_a_flood_of_unknown_keys_fetches_once_a_pause(issuer: Issuer, clock: Clock) -> None:
    door = Door(issuer, clock)
    for round_number in range(3):
        floods = (door.refusal(unknown(number)) for number in range(50))
        assert set(await asyncio.gather(*floods)) == {"The token was signed with an unknown key"}
        assert issuer.fetches == round_number + 1
        clock.advance(PAUSE_SECONDS)


async def test_callers_at_the_first_start_wait_for_one_fetch(issuer: Issuer, clock: Clock) -> None:
    door = Door(issuer, clock)
    assert await asyncio.gather(*(door.enter(signed()) for _ in range(20))) == ["ada"] * 20
    assert issuer.fetches == 1


async def test_callers_with_a_known_key_do_not_wait_for_a_fetch(
    issuer: Issuer, clock: Clock
) -> None:
    door = Door(issuer, clock)
    await door.enter(signed())
    clock.advance(FRESH_SECONDS)
    issuer.go_on.clear()
    fetching = asyncio.create_task(door.enter(signed()))
    await until(lambda: issuer.fetches == 2)
    assert await door.enter(signed(EC_KEY, "ec")) == "ada"
    assert not fetching.done()
    issuer.go_on.set()
    assert await fetching == "ada"


async def test_a_caller_who_leaves_does_not_spoil_the_fetch(issuer: Issuer, clock: Clock) -> None:
    door = Door(issuer, clock)
    issuer.go_on.clear()
    leaving = asyncio.create_task(door.refusal(unknown(1)))
    await until(lambda: issuer.fetches)
    (fetch,) = (task for task in asyncio.all_tasks() if task.get_name() == "fetch the JWKS")
    leaving.cancel()
    await asyncio.wait([leaving])
    issuer.go_on.set()
    await fetch
    assert await door.enter(signed()) == "ada"
    assert issuer.fetches == 1


async def test_a_withdrawn_key_is_refused_after_the_next_fetch(
    issuer: Issuer, clock: Clock
) -> None:
    door = Door(issuer, clock)
    await door.enter(signed())
    issuer.publish(jwk(EC_KEY, "ec"))
    clock.advance(FRESH_SECONDS)
    assert "unknown key" in await door.refusal(signed())


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b""),
        (302, b""),
        (200, b"<html>"),
        (200, b"\xff"),
        (200, b"[]"),
        (200, b'{"keys": []}'),
        (200, b'{"keys": 7}'),
        (200, b"[" * 90_000),
        (200, b'{"keys": [' + b"{}," * 200 + b"{}]}"),
        (200, b'{"keys": [{"kty": "RSA", "kid": "rsa", "alg": []}]}'),
    ],
)
async def test_an_address_that_fails_is_not_the_clients_fault(
    issuer: Issuer, clock: Clock, status: int, body: bytes
) -> None:
    issuer.status, issuer.body = status, body
    door = Door(issuer, clock)
    for _ in range(3):
        with pytest.raises(Unavailable, match="cannot be fetched right now") as refused:
            await door.enter(signed())
        assert refused.value.headers == {"Retry-After": "10"}
    assert issuer.fetches == 1


async def test_an_address_where_nobody_listens_is_not_the_clients_fault(clock: Clock) -> None:
    issuer = Issuer()
    issuer.close()
    with pytest.raises(Unavailable):
        await Door(issuer, clock).enter(signed())


async def test_old_keys_serve_for_an_hour_at_most(issuer: Issuer, clock: Clock) -> None:
    door = Door(issuer, clock)
    await door.enter(signed())
    issuer.status = 500
    clock.advance(STALE_SECONDS - 1)
    assert await door.enter(signed()) == "ada"
    clock.advance(PAUSE_SECONDS)
    with pytest.raises(Unavailable):
        await door.enter(signed())
    issuer.status = 200
    clock.advance(PAUSE_SECONDS)
    assert await door.enter(signed()) == "ada"


@pytest.mark.parametrize("piece", [1, 20])
async def test_a_slow_issuer_delays_callers_by_one_fetch_at_most(
    issuer: Issuer, clock: Clock, piece: int
) -> None:
    """A byte at a time, in the headers and in the body: each wait is short, the whole is not."""
    issuer.piece, issuer.pause = piece, 0.05
    door = Door(issuer, clock, fetch_seconds=SLOW_SECONDS)
    async with asyncio.timeout(SLOW_SECONDS * 9):  # less than one fetch for each
        callers = (door.enter(signed()) for _ in range(10))
        answers = await asyncio.gather(*callers, return_exceptions=True)
    assert all(isinstance(answer, Unavailable) for answer in answers)
    assert issuer.fetches <= 1  # 0 where the time was up before the connection was there
    assert issuer.sent < len(issuer.body)


async def test_a_slow_issuer_does_not_delay_clients_whose_key_is_known(
    issuer: Issuer, clock: Clock
) -> None:
    door = Door(issuer, clock, fetch_seconds=SLOW_SECONDS)
    assert await door.enter(signed()) == "ada"
    issuer.piece, issuer.pause = 1, 0.05
    clock.advance(FRESH_SECONDS)
    waiting = asyncio.create_task(door.enter(signed()))
    await until(lambda: issuer.fetches == 2)
    assert await door.enter(signed(EC_KEY, "ec")) == "ada"
    assert not waiting.done()
    assert await waiting == "ada"  # with the old keys


@pytest.mark.parametrize("says_length", [True, False])
async def test_only_the_beginning_of_a_huge_answer_is_read(
    issuer: Issuer, clock: Clock, says_length: bool
) -> None:
    issuer.body = b" " * 50_000_000 + issuer.body
    issuer.says_length = says_length
    with pytest.raises(Unavailable):
        await Door(issuer, clock).enter(signed())
    assert issuer.sent < 50 * MAX_BYTES  # what the sockets hold is more than what is read


@pytest.mark.parametrize("where", ["file:///etc/passwd", "ftp://127.0.0.1/", "/elsewhere"])
async def test_no_redirect_is_followed(issuer: Issuer, clock: Clock, where: str) -> None:
    issuer.status, issuer.location = 302, where
    with pytest.raises(Unavailable):
        await Door(issuer, clock).enter(signed())
    assert issuer.fetches == 1


@pytest.mark.parametrize("url", ["file:///keys", "ftp://host/keys", "keys", "http://", "https://["])
def test_another_address_stops_the_start(url: str) -> None:
    with pytest.raises(SettingsError, match="SIDECAR_JWT_JWKS_URL"):
        JwksKeys(url, BOTH)


BAD_KEYS: list[Any] = [
    None,
    7,
    "key",
    [],
    {},
    {"kty": []},
    {"kty": "RSA", "kid": "bad"},
    {"kty": "RSA", "kid": "bad", "alg": []},
    {"kty": "RSA", "kid": "bad", "n": 7, "e": "AQAB"},
    {"kty": "RSA", "kid": "bad", "n": "AA", "e": "AA"},
    {"kty": "EC", "kid": "bad", "crv": "P-256", "x": "AA", "y": {}},
    {"kty": "EC", "kid": "bad", "crv": {}},
    {"kty": "OKP", "kid": "bad", "crv": "Ed25519", "x": "A"},
    jwk(RSA_KEY, "rsa") | {"kid": []},
    jwk(RSA_KEY, "rsa") | {"use": "enc"},
]


@pytest.mark.parametrize("bad", BAD_KEYS)
async def test_a_bad_key_spoils_no_good_one(issuer: Issuer, clock: Clock, bad: Any) -> None:
    issuer.publish(bad, jwk(RSA_KEY, "rsa"))
    assert await Door(issuer, clock).enter(signed()) == "ada"
