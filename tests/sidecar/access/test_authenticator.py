"""Any credential becomes an identity; one that is wrong is refused."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.access.api_keys import LOOK_SECONDS, ApiKeys
from sidecar.access.authenticator import Authenticator, build_authenticator
from sidecar.access.identity import Identity
from sidecar.access.jwt_verifier import JwtVerifier
from sidecar.access.signing_keys import FixedKey
from sidecar.errors import NotAuthenticated
from sidecar.settings import Settings, SettingsError
from tests.sidecar.access.tokens import SECRET, Clock
from tests.sidecar.access.tokens import token as signed

MALFORMED = ["x", "a.b.c", "..", "\ud800", "\ud800.\ud800.\ud800", "\0", "é.é.é"]
WRONG = signed("another secret that is also long enough", "HS256")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def api_keys(tmp_path: Path, clock: Clock) -> ApiKeys:
    return ApiKeys(tmp_path / "api_keys.json", clock)


@pytest.fixture
def signing() -> FixedKey:
    return FixedKey(SECRET, ("HS256",))


@pytest.fixture
def authenticator(signing: FixedKey, api_keys: ApiKeys, clock: Clock) -> Authenticator:
    return Authenticator(JwtVerifier(signing, Settings()), api_keys, clock)


def token(subject: str = "ada", **claims: Any) -> str:
    return signed(SECRET, "HS256", sub=subject, **claims)


async def identify(
    authenticator: Authenticator, body: str | None, authorization: str | None, api_key: str | None
) -> Identity | None:
    """As the routes ask: the headers first, and then a token in the body takes their place."""
    identity = await authenticator.identify_headers(authorization, api_key)
    return await authenticator.identify_token(body) if body else identity


async def subject(authenticator: Authenticator, *credentials: str | None) -> str | None:
    identity = await identify(authenticator, *credentials)
    return None if identity is None else identity.subject


@pytest.mark.parametrize("body", [None, ""])
@pytest.mark.parametrize("authorization", [None, ""])
@pytest.mark.parametrize("api_key", [None, ""])
async def test_an_empty_credential_counts_as_absent(
    authenticator: Authenticator, body: str | None, authorization: str | None, api_key: str | None
) -> None:
    assert await identify(authenticator, body, authorization, api_key) is None


async def test_body_token_precedes_authorization_and_that_x_api_key(
    authenticator: Authenticator, api_keys: ApiKeys
) -> None:
    key, _ = api_keys.create("ci", [], None)
    body, header = token("body"), f"Bearer {token('header')}"
    assert await subject(authenticator, body, header, key) == "body"
    assert await subject(authenticator, "", header, key) == "header"
    assert await subject(authenticator, None, "", key) == "ci"


async def test_a_second_credential_is_not_read(authenticator: Authenticator) -> None:
    good = token()
    assert await subject(authenticator, None, f"Bearer {good}", "wrong") == "ada"


async def test_a_wrong_credential_is_refused_whatever_good_one_comes_after(
    authenticator: Authenticator, api_keys: ApiKeys
) -> None:
    key, _ = api_keys.create("ci", [], None)
    good = f"Bearer {token()}"
    wrong = [
        (WRONG, good, key),
        (token(), f"Bearer {WRONG}", None),
        (token(), None, "wrong"),
        (None, f"Bearer {WRONG}", key),
        (None, "Bearer", key),
    ]
    for credentials in wrong:
        with pytest.raises(NotAuthenticated):
            await identify(authenticator, *credentials)


async def test_an_api_key_is_taken_wherever_a_token_is(
    authenticator: Authenticator, api_keys: ApiKeys
) -> None:
    key, _ = api_keys.create("ci", ["stats"], None)
    for credentials in [(key, None, None), (None, f"Bearer {key}", None), (None, None, key)]:
        identity = await identify(authenticator, *credentials)
        assert identity is not None
        assert (identity.subject, identity.kind) == ("ci", "api_key")
        assert identity.has_scope("stats")
        assert not identity.has_scope("admin")


async def test_x_api_key_takes_no_jwt(authenticator: Authenticator) -> None:
    with pytest.raises(NotAuthenticated, match="API key is unknown"):
        await identify(authenticator, None, None, token())


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER {}", "Bearer   {}"])
async def test_the_scheme_is_bearer_in_any_case(authenticator: Authenticator, form: str) -> None:
    assert await subject(authenticator, None, form.format(token()), None) == "ada"


@pytest.mark.parametrize("header", ["Basic YTpi", "Bearer", "Bearer ", "  ", "{}", "Token {}"])
async def test_an_authorization_that_is_no_bearer_is_refused(
    authenticator: Authenticator, header: str
) -> None:
    with pytest.raises(NotAuthenticated, match="must hold a Bearer token"):
        await identify(authenticator, None, header.format(token()), None)


async def test_admin_may_do_all(authenticator: Authenticator) -> None:
    identity = await identify(authenticator, token(scope="admin"), None, None)
    assert identity is not None
    assert identity.has_scope("stats")


async def test_a_good_token_is_checked_once_and_again_when_it_has_expired(
    authenticator: Authenticator, signing: FixedKey, clock: Clock
) -> None:
    good = token()
    assert await subject(authenticator, good, None, None) == "ada"
    signing.key = "from now on every signature that is checked is wrong"
    clock.now += 3590
    assert await subject(authenticator, good, None, None) == "ada"
    clock.now += 3600
    with pytest.raises(NotAuthenticated, match="signature is wrong"):
        await identify(authenticator, good, None, None)


async def test_a_wrong_token_is_checked_every_time(
    authenticator: Authenticator, signing: FixedKey
) -> None:
    for _ in range(2):
        with pytest.raises(NotAuthenticated, match="signature is wrong"):
            await identify(authenticator, WRONG, None, None)
    signing.key = "another secret that is also long enough"
    assert await subject(authenticator, WRONG, None, None) == "ada"


async def test_a_revoked_api_key_ends_within_a_second(
    authenticator: Authenticator, api_keys: ApiKeys, tmp_path: Path, clock: Clock
) -> None:
    key, record = api_keys.create("ci", [], None)
    assert await subject(authenticator, key, None, None) == "ci"
    ApiKeys(tmp_path / "api_keys.json").revoke(record.id)
    clock.now += LOOK_SECONDS
    with pytest.raises(NotAuthenticated, match="revoked"):
        await identify(authenticator, key, None, None)


ANY_STRING = st.text(st.characters(), min_size=1) | st.text(st.characters()).map("sk_{}".format)


@given(ANY_STRING | st.tuples(*[st.text(st.characters())] * 3).map(".".join))
async def test_any_string_is_not_authenticated_and_raises_nothing_else(text: str) -> None:
    keys = ApiKeys(Path("/nonexistent/api_keys.json"))
    verifier = JwtVerifier(FixedKey(SECRET, ("HS256",)), Settings())
    for checks in (Authenticator(verifier, keys), Authenticator(None, keys)):
        for credentials in [(text, None, None), (None, f"Bearer {text}", None), (None, None, text)]:
            with pytest.raises(NotAuthenticated):
                await identify(checks, *credentials)
        with pytest.raises(NotAuthenticated):
            await identify(checks, None, text, None)


@pytest.mark.parametrize("wrong", [WRONG, "garbage-garbage", "sk_garbage", *MALFORMED])
async def test_a_refusal_never_shows_the_credential(
    authenticator: Authenticator, wrong: str
) -> None:
    for credentials in [
        (wrong, None, None),
        (None, f"Bearer {wrong}", None),
        (None, f"Basic {wrong}", None),
        (None, None, wrong),
    ]:
        with pytest.raises(NotAuthenticated) as caught:
            await identify(authenticator, *credentials)
        error = caught.value
        said = " ".join([error.message, error.detail, *error.headers.values()])
        assert len(wrong) < 2 or wrong not in said
        assert error.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


def test_production_without_a_credential_source_refuses_to_start(
    tmp_path: Path,
) -> None:
    with pytest.raises(SettingsError) as caught:
        build_authenticator(Settings(environment="production", state_dir=tmp_path))
    for name in (
        "SIDECAR_JWT_SECRET",
        "SIDECAR_JWT_PUBLIC_KEY_FILE",
        "SIDECAR_JWT_JWKS_URL",
        "scripts/token key create",
    ):
        assert name in str(caught.value)


async def test_production_starts_with_api_keys_only(
    tmp_path: Path,
) -> None:
    settings = Settings(environment="production", state_dir=tmp_path)
    key, _ = ApiKeys(settings.api_keys).create("ci", [], None)
    authenticator = build_authenticator(settings)
    assert await subject(authenticator, None, None, key) == "ci"
    with pytest.raises(NotAuthenticated, match="takes API keys only"):
        await identify(authenticator, token(), None, None)


async def test_development_starts_with_nothing_at_all(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "var")
    authenticator = build_authenticator(settings)
    secret = settings.secret_file.read_text()
    assert await subject(authenticator, signed(secret, "HS256"), None, None) == "ada"


def test_readable_api_keys_prevent_the_start_even_beside_a_secret(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, jwt_secret=SECRET)
    ApiKeys(settings.api_keys).create("ci", [], None)
    settings.api_keys.chmod(0o644)
    with pytest.raises(SettingsError, match="others can read it"):
        build_authenticator(settings)
