"""A web page elsewhere must not drive a local server."""

import pytest

from sidecar.access.origins import OriginGuard, answered_hosts
from sidecar.errors import ForbiddenOrigin

GUARD = OriginGuard(["api.example"], ["https://page.example"])


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8000",
        "127.0.0.1:8000",
        "[::1]:8000",
        "10.0.0.5",
        "API.example",
        None,
    ],
)
def test_an_address_localhost_and_allowed_names_are_ours(host: str | None) -> None:
    GUARD.check(host, None)


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "a:b:c", "[::1"])
def test_any_other_host_is_refused_also_by_dns_rebinding(host: str) -> None:
    with pytest.raises(ForbiddenOrigin, match="not allowed"):
        GUARD.check(host, None)


def test_the_refusal_of_a_host_names_the_setting_that_adds_one() -> None:
    with pytest.raises(ForbiddenOrigin) as refused:
        GUARD.check("model.example", None)
    assert "SIDECAR_ALLOWED_HOSTS" in refused.value.detail


@pytest.mark.parametrize(
    ("allowed", "said"),
    [
        ([], "any address, localhost"),
        (["API.example"], "any address, api.example, localhost"),
        (["api.example", "*"], "every Host"),
    ],
)
def test_an_operator_reads_which_hosts_are_answered(allowed: list[str], said: str) -> None:
    assert answered_hosts(allowed) == said


def test_an_asterisk_allows_every_host() -> None:
    OriginGuard(["*"], []).check("anything.example", None)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:8000", "http://localhost:8000"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("localhost:8000", "https://page.example"),
    ],
)
def test_our_own_origin_and_allowed_ones_may(host: str, origin: str) -> None:
    GUARD.check(host, origin)


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:9000", "", "http://page.example"]
)
def test_any_other_origin_is_refused(origin: str) -> None:
    with pytest.raises(ForbiddenOrigin, match="not allowed"):
        GUARD.check("localhost:8000", origin)


def test_only_an_origin_of_the_settings_needs_cors_headers() -> None:
    assert GUARD.is_foreign("https://page.example")
    assert not GUARD.is_foreign("http://localhost:8000")
