"""A credential in words: what it says, when it ends, and nothing that moves the cursor."""

import time
from typing import Any

import jwt
import pytest

from sidecar.access.api_keys import KeyRecord
from sidecar.access.explanation import explain_jwt, explain_key, moment
from tests.sidecar.access.tokens import SECRET, token


def test_a_jwt_is_explained_also_when_its_signature_is_wrong() -> None:
    now = int(time.time())
    claims: dict[str, Any] = {"iat": now, "exp": now + 3 * 3600 + 60, "iss": "us", "aud": "them"}
    lines = explain_jwt(token("a secret that the server does not have", **claims))
    assert lines["subject"] == "ada"
    assert lines["scopes"] == "stats"
    assert lines["issued"] == moment(now)
    assert lines["expires"] == f"{moment(now + 10_860)} (in 3 hours)"
    assert (lines["issuer"], lines["audience"]) == ("us", "them")
    assert "not before" not in lines


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-40 * 86_400, "(40 days ago)"), (-5, "(5 seconds ago)"), (600.5, "(in 10 minutes)")],
)
def test_the_time_left_is_told_in_one_unit(seconds: float, words: str) -> None:
    assert explain_jwt(token(exp=time.time() + seconds))["expires"].endswith(words)


@pytest.mark.parametrize("text", ["", "garbage", "a.b.c", "\ud800.a.b", "é.é.é"])
def test_an_unreadable_token_is_not_explained(text: str) -> None:
    assert explain_jwt(text) == {}


def test_the_token_itself_and_control_characters_are_never_shown() -> None:
    text = token(sub="ada\x1b[2J\r\nvalid: jwt")
    shown = "".join(explain_jwt(text).values())
    assert shown.isprintable()
    assert text not in shown
    assert SECRET not in shown


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), 10**400, 1e300, "soon", [1], -1])
def test_a_time_of_any_kind_can_be_shown(seconds: Any) -> None:
    claims = {"sub": "ada", "exp": seconds, "nbf": seconds}
    lines = explain_jwt(jwt.encode(claims, SECRET))
    assert lines["expires"]
    assert lines["not before"]


def test_an_api_key_is_explained_by_its_record() -> None:
    lines = explain_key(KeyRecord("1f", "ci", "hash", [], created_at=0))
    assert lines == {
        "subject": "ci",
        "scopes": "none",
        "issued": "1970-01-01 00:00:00Z",
        "expires": "never",
    }
