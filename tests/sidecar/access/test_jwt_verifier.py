"""A token is good only if every rule holds; each refusal says which one does not."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.access.identity import Identity
from sidecar.access.jwt_verifier import JwtVerifier
from sidecar.access.signing_keys import FixedKey
from sidecar.errors import NotAuthenticated
from sidecar.settings import Settings
from tests.sidecar.access.tokens import EC_KEY, RSA_KEY, SECRET, Clock, public_pem, token

HS256 = FixedKey(SECRET, ("HS256",))
RS256 = FixedKey(public_pem(RSA_KEY), ("RS256",))
ES256 = FixedKey(public_pem(EC_KEY), ("ES256",))


async def verify(text: str, keys: FixedKey = HS256, clock: Any = None, **values: Any) -> Identity:
    settings = Settings(**{"jwt_leeway_seconds": 0} | values)
    return await JwtVerifier(keys, settings, clock or Clock()).verify(text)


async def refusal(text: str, keys: FixedKey = HS256, **values: Any) -> str:
    with pytest.raises(NotAuthenticated) as refused:
        await verify(text, keys, **values)
    assert refused.value.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert refused.value.detail == "Not authenticated"
    return refused.value.message


def forged(header: dict[str, Any], payload: Any, key: bytes = b"") -> str:
    """A token with any header at all, signed with HMAC-SHA256 whatever it says."""
    parts = [json.dumps(header).encode(), json.dumps(payload).encode()]
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = hmac.new(key, signed, hashlib.sha256).digest() if key else b""
    return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


@pytest.mark.parametrize(
    ("key", "keys"),
    [(SECRET, HS256), (RSA_KEY, RS256), (EC_KEY, ES256)],
)
async def test_a_good_token_becomes_an_identity(key: Any, keys: FixedKey) -> None:
    expires_at = int(Clock().now) + 3600
    identity = await verify(token(key, keys.algorithms[0], exp=expires_at), keys)
    assert identity == Identity("ada", frozenset({"stats"}), "jwt", float(expires_at))


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [(None, set()), ("", set()), ("stats", {"stats"}), (" stats  admin ", {"stats", "admin"})],
)
async def test_scopes_stand_in_one_string_with_spaces(scope: str | None, scopes: set[str]) -> None:
    assert (await verify(token(scope=scope))).scopes == scopes


async def test_admin_may_do_everything_and_stats_only_stats() -> None:
    admin, stats = await verify(token(scope="admin")), await verify(token(scope="stats"))
    assert admin.has_scope("stats")
    assert admin.has_scope("admin")
    assert stats.has_scope("stats")
    assert not stats.has_scope("admin")


async def test_an_expired_token_is_refused_from_its_very_second_on() -> None:
    clock = Clock()
    text = token(exp=int(clock.now) + 60)
    clock.now = int(clock.now) + 59.5
    await verify(text, clock=clock)
    clock.advance(0.5)
    assert await refusal(text, clock=clock) == "The token has expired"


@pytest.mark.parametrize("claim", ["nbf", "iat"])
async def test_a_token_of_the_future_is_refused_until_then(claim: str) -> None:
    clock = Clock()
    claims: dict[str, Any] = {claim: clock.now + 30}
    text = token(**claims)
    assert await refusal(text, clock=clock) == "The token is not valid yet"
    clock.advance(31)
    await verify(text, clock=clock)


async def test_the_leeway_widens_both_ends() -> None:
    clock = Clock()
    text = token(nbf=clock.now + 5, exp=clock.now + 20)
    await verify(text, clock=clock, jwt_leeway_seconds=6)
    clock.advance(25)
    await verify(text, clock=clock, jwt_leeway_seconds=6)
    assert await refusal(text, clock=clock, jwt_leeway_seconds=4) == "The token has expired"


@pytest.mark.parametrize(
    ("audience", "claim", "reason"),
    [
        ("us", "us", None),
        ("us", ["them", "us"], None),
        ("us", "them", "The token is for another audience"),
        ("us", ["them"], "The token is for another audience"),
        ("us", None, "The token lacks the claim aud"),
        (None, None, None),
        (None, "them", "The token is for another audience"),
    ],
)
async def test_a_token_for_another_audience_is_refused(
    audience: str | None, claim: Any, reason: str | None
) -> None:
    text = token(aud=claim)
    if reason is None:
        await verify(text, jwt_audience=audience)
    else:
        assert await refusal(text, jwt_audience=audience) == reason


async def test_the_issuer_must_be_the_one_of_the_settings() -> None:
    await verify(token(iss="us"), jwt_issuer="us")
    await verify(token(iss="anybody"))
    assert await refusal(token(iss="them"), jwt_issuer="us") == "The token is from another issuer"
    assert await refusal(token(), jwt_issuer="us") == "The token lacks the claim iss"


@pytest.mark.parametrize(
    ("claims", "claim"),
    [
        ({"exp": None}, "exp"),
        ({"exp": "soon"}, "exp"),
        ({"exp": 10**400}, "exp"),
        ({"exp": float("inf")}, "exp"),
        ({"exp": True}, "exp"),
        ({"nbf": "soon"}, "nbf"),
        ({"iat": []}, "iat"),
        ({"sub": None}, "sub"),
        ({"sub": ""}, "sub"),
        ({"scope": ["stats"]}, "scope"),
        ({"scope": 7}, "scope"),
    ],
)
async def test_a_wrong_or_missing_claim_is_named(claims: dict[str, Any], claim: str) -> None:
    good = {"sub": "ada", "exp": Clock().now + 60}
    payload = {name: value for name, value in (good | claims).items() if value is not None}
    message = await refusal(forged({"alg": "HS256"}, payload, SECRET.encode()))
    assert message.startswith("The token's claims are wrong: ")
    assert f"{claim}`" in message


async def test_a_subject_that_is_no_string_is_refused() -> None:
    text = forged({"alg": "HS256"}, {"sub": 7, "exp": Clock().now + 60}, SECRET.encode())
    assert await refusal(text) == "The token is malformed"


async def test_a_changed_byte_or_another_secret_is_a_wrong_signature() -> None:
    head, payload, signature = token().split(".")
    other = "B" if signature[0] == "A" else "A"
    changed = ".".join([head, payload, other + signature[1:]])
    borrowed = ".".join([head, payload, token(sub="bob").split(".")[2]])
    for text in (changed, borrowed, token("another secret that is long enough, too")):
        assert await refusal(text) == "The token's signature is wrong"


@pytest.mark.parametrize("alg", ["none", "None", "", "HS384", "RS256", 7, None, ["HS256"]])
@pytest.mark.parametrize("key", [b"", SECRET.encode()])
async def test_the_algorithm_comes_from_the_settings_not_from_the_token(
    alg: Any, key: bytes
) -> None:
    payload = {"sub": "ada", "exp": Clock().now + 60}
    wrong = "The token is signed with another algorithm"
    assert await refusal(forged({"alg": alg}, payload, key)) == wrong
    assert await refusal(forged({}, payload, key)) == wrong


@pytest.mark.parametrize(("keys", "private"), [(RS256, RSA_KEY), (ES256, EC_KEY)])
async def test_a_public_key_is_no_secret(keys: FixedKey, private: Any) -> None:
    payload = {"sub": "eve", "exp": Clock().now + 60}
    text = forged({"alg": "HS256"}, payload, public_pem(private))
    assert await refusal(text, keys) == "The token is signed with another algorithm"


@pytest.mark.parametrize(
    ("header", "payload"),
    [
        ({"alg": "HS256", "crit": ["exp"]}, {}),
        ({"alg": "HS256", "b64": False}, {}),
        ({"alg": "HS256", "kid": 7}, {}),
        ({"alg": "HS256"}, []),
        ({"alg": "HS256"}, "ada"),
        ({"alg": "HS256"}, None),
        ([], {}),
    ],
)
async def test_a_signed_payload_that_is_not_a_token_is_malformed(header: Any, payload: Any) -> None:
    assert await refusal(forged(header, payload, SECRET.encode())) == "The token is malformed"


SEGMENTS = st.one_of(st.text(), st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
CLAIMS = st.dictionaries(st.sampled_from(["exp", "nbf", "iat", "aud", "iss", "scope", "jti"]), JSON)


@given(st.text() | st.lists(SEGMENTS, min_size=2, max_size=4).map(".".join))
async def test_any_string_is_refused_and_nothing_else_happens(text: str) -> None:
    for keys in (HS256, RS256, ES256):
        await refusal(text, keys)


@given(CLAIMS)
async def test_any_signed_claims_are_accepted_or_refused(
    claims: dict[str, Any],
) -> None:
    text = forged({"alg": "HS256"}, claims, SECRET.encode())  # without a sub
    assert (await refusal(text)).startswith("The token")
