"""API keys: kept as SHA-256, read anew when their file changes."""

import hashlib
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sidecar.access.api_keys import LOOK_SECONDS, ApiKeys
from sidecar.access.identity import Identity
from sidecar.errors import NotAuthenticated, Unavailable
from sidecar.settings import SettingsError
from tests.sidecar.access.tokens import Clock

DAY = 86400


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "api_keys.json"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(path: Path, clock: Clock) -> ApiKeys:
    return ApiKeys(path, clock)


def test_a_key_says_who_asks_and_what_they_may(keys: ApiKeys, clock: Clock) -> None:
    key, _ = keys.create("ci", ["stats"], days=2)
    expires_at = clock.now + 2 * DAY
    assert keys.verify(key) == Identity("ci", frozenset({"stats"}), "api_key", expires_at)


def test_a_key_is_256_random_bits_and_no_two_are_alike(keys: ApiKeys) -> None:
    made = {keys.create("ci", [], None)[0] for _ in range(5)}
    assert len(made) == 5
    assert all(len(key.removeprefix("sk_")) == 43 for key in made)


def test_the_file_holds_the_hash_and_never_the_key(keys: ApiKeys, path: Path) -> None:
    key, _ = keys.create("ci", [], None)
    held = path.read_text()
    assert hashlib.sha256(key.encode()).hexdigest() in held
    assert key.removeprefix("sk_") not in held


def test_only_the_owner_may_read_the_file(keys: ApiKeys, path: Path) -> None:
    keys.create("ci", [], None)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("key", ["", "sk_", "sk_unknown", "\ud800", "sk_\0", "s" * 100_000])
def test_an_unknown_key_is_refused_and_not_shown(keys: ApiKeys, key: str) -> None:
    keys.create("ci", [], None)
    with pytest.raises(NotAuthenticated) as caught:
        keys.verify(key)
    assert caught.value.message == "The API key is unknown"


def test_without_a_file_every_key_is_unknown(keys: ApiKeys) -> None:
    assert keys.records() == []
    with pytest.raises(NotAuthenticated, match="unknown"):
        keys.verify("sk_any")


def test_the_hash_of_a_key_is_no_key(keys: ApiKeys) -> None:
    _, record = keys.create("ci", [], None)
    with pytest.raises(NotAuthenticated, match="unknown"):
        keys.verify(record.sha256)


def test_a_key_is_good_until_the_moment_it_expires(keys: ApiKeys, clock: Clock) -> None:
    key, _ = keys.create("ci", [], days=1)
    clock.now += DAY - 1
    assert keys.verify(key)
    clock.now += 1
    with pytest.raises(NotAuthenticated, match="The API key is expired"):
        keys.verify(key)


def test_a_key_without_days_is_good_for_ever(keys: ApiKeys, clock: Clock) -> None:
    key, _ = keys.create("ci", [], days=None)
    clock.now += 100_000 * DAY
    assert keys.verify(key).expires_at is None


def test_a_revocation_by_another_process_is_seen_within_a_second(
    keys: ApiKeys, path: Path, clock: Clock
) -> None:
    key, record = keys.create("ci", [], None)
    assert keys.verify(key)
    assert ApiKeys(path, clock).revoke(record.id)
    clock.now += LOOK_SECONDS
    assert LOOK_SECONDS <= 1
    with pytest.raises(NotAuthenticated, match="The API key is revoked"):
        keys.verify(key)


def test_a_new_key_of_another_process_is_seen_within_a_second(
    keys: ApiKeys, path: Path, clock: Clock
) -> None:
    with pytest.raises(NotAuthenticated):
        keys.verify("sk_any")
    key, _ = ApiKeys(path, clock).create("ci", [], None)
    clock.now += LOOK_SECONDS
    assert keys.verify(key)


def test_a_clock_that_is_set_back_hides_no_revocation(
    keys: ApiKeys, path: Path, clock: Clock
) -> None:
    key, record = keys.create("ci", [], None)
    assert keys.verify(key)
    clock.now -= DAY
    ApiKeys(path, clock).revoke(record.id)
    with pytest.raises(NotAuthenticated, match="revoked"):
        keys.verify(key)


def test_keys_end_when_their_file_is_removed(keys: ApiKeys, path: Path, clock: Clock) -> None:
    key, _ = keys.create("ci", [], None)
    assert keys.verify(key)
    path.unlink()
    clock.now += LOOK_SECONDS
    with pytest.raises(NotAuthenticated, match="unknown"):
        keys.verify(key)


def test_revoking_ends_one_key_and_leaves_the_others(keys: ApiKeys) -> None:
    (kept, _), (_, record) = (keys.create(name, [], None) for name in ("kept", "ended"))
    assert keys.revoke(record.id)
    assert [key.state(0) for key in keys.records()] == ["valid", "revoked"]
    assert keys.verify(kept)


def test_revoking_twice_keeps_the_first_time(keys: ApiKeys, clock: Clock) -> None:
    _, record = keys.create("ci", [], None)
    keys.revoke(record.id)
    first = clock.now
    clock.now += DAY
    assert keys.revoke(record.id)
    assert keys.records()[0].revoked_at == first


def test_there_is_nothing_to_revoke_under_an_unknown_id(keys: ApiKeys) -> None:
    assert not keys.revoke("nothing")


def test_keys_made_at_once_are_all_kept(path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: ApiKeys(path).create("ci", [], None)[0], range(16)))
    assert all(ApiKeys(path).verify(key) for key in made)
    assert len(ApiKeys(path).records()) == 16


@pytest.mark.parametrize("content", [b"", b"{}", b"not json", b'[{"id": 1}]', b"\xff"])
def test_a_spoiled_file_is_refused_and_left_as_it_is(
    keys: ApiKeys, path: Path, content: bytes
) -> None:
    keys.create("ci", [], None)
    path.write_bytes(content)
    for use in (keys.records, lambda: keys.create("x", [], None), lambda: keys.revoke("x")):
        with pytest.raises(SettingsError, match=r"api_keys\.json"):
            use()
    assert path.read_bytes() == content


def test_a_file_that_others_can_read_is_refused(keys: ApiKeys, path: Path) -> None:
    keys.create("ci", [], None)
    path.chmod(0o640)
    with pytest.raises(SettingsError, match="others can read it"):
        keys.records()


def test_no_key_is_accepted_while_its_file_is_readable_by_others(
    keys: ApiKeys, path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    key, _ = keys.create("ci", [], None)
    assert keys.verify(key)
    path.chmod(0o644)
    clock.now += LOOK_SECONDS
    for _ in range(2):
        with pytest.raises(Unavailable):
            keys.verify(key)
    assert "others can read it" in caplog.text
    assert key not in caplog.text
    path.chmod(0o600)
    assert keys.verify(key)
