"""Who counts for whom, how much is allowed, and what is said of it."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from sidecar.access.limits import Concurrency, Limits, client_address, parse_networks
from sidecar.access.rate_limiter import Quota, Rate, RateLimiter
from sidecar.access.throttle import Ceiling, Load, exceeded
from sidecar.settings import Settings
from tests.needs import need_program
from tests.waiting import LIMIT_SECONDS, block_until

TRUSTED = parse_networks(["10.0.0.0/8", "192.168.1.1", "fd00::/8"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.7", None, "203.0.113.7"),
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),  # anybody can write that
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1, 10.2.3.4", "198.51.100.1"),
        ("10.0.0.1", "10.9.9.9, 192.168.1.1", "10.9.9.9"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, nonsense", "10.0.0.1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("fd00::1", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:9:9:9:9", None, "2001:db8:1:2::/64"),
        (None, "198.51.100.1", "unknown"),
        ("", None, "unknown"),
    ],
)
def test_the_client_address_is_the_last_one_that_is_not_a_trusted_proxy(
    peer: str | None, forwarded: str | None, client: str
) -> None:
    assert client_address(peer, forwarded, TRUSTED) == client


@pytest.mark.parametrize(
    ("per_second", "burst", "rate"),
    [
        (10, None, Rate(10, 1)),
        (10, 50, Rate(50, 5)),
        (10, 5, Rate(10, 1)),
        (0.5, None, Rate(1, 2)),
        (0.1, 3, Rate(3, 30)),
        (2.5, None, Rate(2, 1)),
    ],
)
def test_a_rate_is_a_burst_in_whole_seconds(
    per_second: float, burst: int | None, rate: Rate
) -> None:
    assert Rate.of(per_second, burst) == rate


def test_an_unset_limit_limits_nothing() -> None:
    assert not Limits(Settings()).clients_limited
    assert Limits(Settings(rate_limit_requests_per_second=1)).clients_limited
    assert Limits(Settings(rate_limit_concurrent_requests=1)).clients_limited


async def test_a_burst_is_taken_and_the_next_request_is_too_much() -> None:
    limiter, rate = RateLimiter(None), Rate(3, 1000)
    quotas = [await limiter.take("client", rate, "me") for _ in range(4)]
    assert [quota.exceeded for quota in quotas] == [False, False, False, True]
    assert [quota.remaining for quota in quotas] == [2, 1, 0, 0]
    assert all(0 < quota.reset_seconds <= 2000 for quota in quotas)
    assert not (await limiter.take("client", rate, "you")).exceeded
    assert not (await limiter.take("model", rate, "me")).exceeded


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """A Redis of this test's own."""
    program = need_program("redis-server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    server = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)

    def listens() -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    block_until(listens)
    yield f"redis://127.0.0.1:{port}/0"
    server.terminate()
    server.wait(LIMIT_SECONDS)


@pytest.fixture
def sharing(redis_url: str) -> tuple[RateLimiter, RateLimiter]:
    return RateLimiter(redis_url), RateLimiter(redis_url)


async def test_sidecars_that_share_a_redis_share_their_counts(
    sharing: tuple[RateLimiter, RateLimiter],
) -> None:
    one, other = sharing
    rate = Rate(2, 1000)
    assert not (await one.take("client", rate, "me")).exceeded
    assert not (await other.take("client", rate, "me")).exceeded
    assert (await one.take("client", rate, "me")).exceeded
    assert (await other.take("client", rate, "me")).exceeded
    await one.close()
    await other.close()


def test_a_quota_is_told_as_the_draft_says() -> None:
    headers = Quota("client", Rate(50, 5), 12, 3, exceeded=False).headers()
    assert headers == {"RateLimit-Policy": '"client";q=50;w=5', "RateLimit": '"client";r=12;t=3'}


def test_the_number_of_concurrent_requests_is_limited() -> None:
    concurrency = Concurrency()
    assert [concurrency.enter("me", 2) for _ in range(3)] == [True, True, False]
    assert concurrency.enter("you", 2)
    concurrency.leave("me")
    assert concurrency.enter("me", 2)


@pytest.mark.parametrize(
    ("load", "reason"),
    [
        (Load(50, None, 0), None),
        (Load(90, None, 0), "memory_percent: 90, the limit is 90"),
        (Load(None, 95.5, 0), "gpu_memory_percent: 95.5, the limit is 80"),
        (Load(10, 10, 100), "queue_depth: 100, the limit is 100"),
        (Load(None, None, 99), None),
    ],
)
def test_a_load_at_its_ceiling_is_too_much(load: Load, reason: str | None) -> None:
    assert exceeded(Ceiling(90, 80, 100), load) == reason
    assert exceeded(Ceiling(None, None, None), load) is None
