"""scripts/token, from end to end: what it prints, and how it ends."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.sidecar.access.issuer import Issuer
from tests.sidecar.access.tokens import SECRET, public_pem
from tests.sidecar.access.tokens import token as signed
from tests.waiting import LIMIT_SECONDS

ROOT = Path(__file__).parents[3]
WITH_SECRET = {"SIDECAR_JWT_SECRET": SECRET}

Ended = subprocess.CompletedProcess[bytes]
Token = Callable[..., Ended]


@pytest.fixture
def token(tmp_path: Path) -> Token:
    """Runs scripts/token with these arguments, and with only *environ* in the environment."""

    def token(*arguments: str, stdin: bytes = b"", **environ: str) -> Ended:
        return subprocess.run(
            [sys.executable, "-m", "sidecar.access", *arguments],
            cwd=ROOT,
            env={"SIDECAR_STATE_DIR": str(tmp_path / "var"), "PYTHONUTF8": "1"} | environ,
            input=stdin,
            capture_output=True,
            check=False,
            timeout=LIMIT_SECONDS,
        )

    return token


def done(ended: Ended, code: int = 0) -> str:
    """Standard output of a run that ended with *code*."""
    assert ended.returncode == code, ended
    assert b"Traceback" not in ended.stderr
    return ended.stdout.decode()


def refused(ended: Ended) -> str:
    """The sentence of a run that was bad use; standard output stays empty."""
    assert done(ended, 2) == ""
    *_, sentence = ended.stderr.decode().splitlines()
    return sentence


def test_create_prints_the_token_and_nothing_else(token: Token) -> None:
    ended = token("create", "--subject", "alice", "--scope", "stats", "--hours", "2", **WITH_SECRET)
    printed = done(ended)
    assert ended.stderr == b""
    assert printed == printed.strip() + "\n"
    claims = jwt.decode(printed.strip(), SECRET, algorithms=["HS256"])
    assert (claims["sub"], claims["scope"]) == ("alice", "stats")
    assert claims["exp"] - claims["iat"] == 7200


NO_SCOPE = "token: without --scope it opens no route that needs a scope"
NO_END = "token: without --days it never expires; `key revoke` ends it"


@pytest.mark.parametrize(
    ("given", "warnings"),
    [
        ((), [NO_SCOPE, NO_END]),
        (("--scope", "stats"), [NO_END]),
        (("--days", "1"), [NO_SCOPE]),
        (("--scope", "stats", "--days", "1"), []),
    ],
)
def test_a_key_without_a_scope_or_an_end_is_warned_of_beside_the_key(
    token: Token, given: tuple[str, ...], warnings: list[str]
) -> None:
    ended = token("key", "create", "--name", "ci", *given)
    key = done(ended)
    assert key.startswith("sk_")
    assert key.count("\n") == 1
    *said, last = ended.stderr.decode().splitlines()
    assert said == warnings
    assert last.endswith("it is shown only now")


def test_a_created_token_is_valid_to_inspect(token: Token) -> None:
    settings = {"SIDECAR_JWT_AUDIENCE": "us", "SIDECAR_JWT_ISSUER": "ours"}
    scopes = ("--scope", "stats", "--scope", "admin")
    made = done(token("create", "--subject", "alice", *scopes, **settings))
    for ended in (
        token("inspect", made.strip(), **settings),
        token("inspect", stdin=made.encode(), **settings),
    ):
        assert done(ended).splitlines()[:3] == [
            "valid: jwt",
            "subject: alice",
            "scopes: admin stats",
        ]


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (signed(SECRET, "HS256", exp=int(time.time()) - 60), "has expired"),
        (signed("another secret that is also long enough", "HS256"), "signature is wrong"),
        ("garbage", "malformed"),
        ("sk_garbage", "unknown"),
    ],
)
def test_inspect_of_a_bad_token_says_why_and_ends_with_1(
    token: Token, made: str, reason: str
) -> None:
    ended = token("inspect", made, **WITH_SECRET)
    printed = done(ended, 1)
    assert printed.startswith("invalid: ")
    assert reason in printed
    assert made not in printed + ended.stderr.decode()


def test_inspect_of_bytes_that_are_no_text_is_an_invalid_token(token: Token) -> None:
    assert done(token("inspect", stdin=b"\xff\xfe\0"), 1) == "invalid: The token is malformed\n"


def test_inspect_shows_a_time_that_no_calendar_has(token: Token) -> None:
    far = signed(SECRET, "HS256", exp=10**15)
    assert "expires: 1e+15 s after 1970" in done(token("inspect", far, **WITH_SECRET))


@pytest.mark.parametrize("arguments", [("inspect",), ("inspect", ""), ("inspect", "-")])
def test_inspect_of_nothing_is_bad_use(token: Token, arguments: tuple[str, ...]) -> None:
    assert refused(token(*arguments)) == "token: no token was given"


def test_an_api_key_is_made_found_valid_listed_and_revoked(token: Token) -> None:
    made = token("key", "create", "--name", "ci", "--scope", "stats", "--days", "1")
    key = done(made).strip()
    assert key.startswith("sk_")
    assert done(made) == key + "\n"
    assert key not in made.stderr.decode()
    assert done(token("inspect", key)).splitlines()[:3] == [
        "valid: api key",
        "subject: ci",
        "scopes: stats",
    ]

    listed = done(token("key", "list"))
    _, row = listed.splitlines()
    assert row.endswith("valid")
    assert key not in listed

    assert done(token("key", "revoke", row.split()[0])) == ""
    assert done(token("inspect", key), 1) == "invalid: The API key is revoked\n"
    assert done(token("key", "list")).splitlines()[1].endswith("revoked")


def test_revoking_a_key_by_itself_is_refused_without_showing_it(token: Token) -> None:
    key = done(token("key", "create", "--name", "ci")).strip()
    ended = token("key", "revoke", key)
    assert refused(ended) == "token: no key has that id; `key list` shows them"
    assert key not in ended.stderr.decode()


def test_a_verification_key_cannot_create_tokens(
    token: Token, tmp_path: Path, rsa_key: rsa.RSAPrivateKey
) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(public_pem(rsa_key))
    settings = {"SIDECAR_JWT_PUBLIC_KEY_FILE": str(path)}
    assert "only SIDECAR_JWT_SECRET can sign" in refused(
        token("create", "--subject", "a", **settings)
    )
    assert done(token("inspect", signed(rsa_key, "RS256"), **settings)).startswith("valid: jwt\n")


def test_an_unreachable_issuer_is_not_reported_as_a_bad_token(
    token: Token, rsa_key: rsa.RSAPrivateKey
) -> None:
    made = signed(rsa_key, "RS256", headers={"kid": "rsa"})
    issuer = Issuer()
    settings = {"SIDECAR_JWT_JWKS_URL": issuer.url}
    try:
        assert done(token("inspect", made, **settings)).startswith("valid: jwt\n")
        assert "only SIDECAR_JWT_SECRET" in refused(token("create", "--subject", "a", **settings))
    finally:
        issuer.close()
    assert "cannot be fetched right now" in refused(token("inspect", made, **settings))


def test_production_without_a_source_makes_keys_and_no_tokens(token: Token) -> None:
    production = {"SIDECAR_ENVIRONMENT": "production"}
    assert "SIDECAR_JWT_SECRET" in refused(token("create", "--subject", "a", **production))
    assert "SIDECAR_JWT_SECRET" in refused(token("inspect", "x", **production))
    key = done(token("key", "create", "--name", "ci", **production)).strip()
    assert done(token("inspect", key, **production)).startswith("valid: api key\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "required"),
        (("unknown",), "invalid choice"),
        (("create",), "--subject"),
        (("create", "--subject", "a", "--scope", "root"), "invalid choice"),
        (("create", "--subject", "a", "--hours", "0"), "above 0"),
        (("create", "--subject", "a", "--hours", "nan"), "above 0"),
        (("create", "--subject", "a", "--hours", "1e308"), "at most"),
        (("create", "--subject", "a", "--hours", "soon"), "must be a number"),
        (("key",), "required"),
        (("key", "create"), "--name"),
        (("key", "create", "--name", "ci", "--days", "-1"), "above 0"),
        (("key", "create", "--name", "ci", "--days", "1e308"), "at most"),
        (("key", "revoke"), "id"),
        (("key", "revoke", "nothing"), "no key has that id"),
    ],
)
def test_bad_use_ends_with_2_and_a_sentence(
    token: Token, arguments: tuple[str, ...], said: str
) -> None:
    assert said in refused(token(*arguments))


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"SIDECAR_JWT_SECRET": "short"}, "at least 32 bytes"),
        ({"SIDECAR_JWT_SECRTE": "typo"}, "SIDECAR_JWT_SECRTE is not a setting"),
        ({"SIDECAR_JWT_PUBLIC_KEY_FILE": "/nonexistent"}, "SIDECAR_JWT_PUBLIC_KEY_FILE"),
        ({"SIDECAR_JWT_JWKS_URL": "file:///etc/passwd"}, "SIDECAR_JWT_JWKS_URL"),
        ({"SIDECAR_STATE_DIR": "/dev/null"}, "/dev/null"),
        ({"SIDECAR_API_KEYS_FILE": "/dev"}, "/dev"),
    ],
)
def test_bad_settings_end_with_2_and_a_sentence(
    token: Token, environ: dict[str, str], said: str
) -> None:
    assert said in refused(token("inspect", "garbage", **environ))
