"""An entry that cannot be packed is left out of its job, and does not affect the others."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.errors import InternalError, SidecarError
from sidecar.scheduling.entry import Reply
from sidecar.scheduling.scheduler import InferenceRequest, Scheduler
from sidecar.telemetry.request_id import REQUEST_ID
from sidecar.torchserve.client import TorchServeClient
from sidecar.torchserve.key_file import KeyFile
from tests.fake_torchserve import FakeTorchServe
from tests.sidecar.scheduling.test_scheduler import Lane, opened

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
anything = st.tuples(
    st.dictionaries(st.text(st.characters()), values | st.builds(object), max_size=3),
    st.none() | st.text(st.characters()),
    st.none() | st.text(st.characters()),
)


@asynccontextmanager
async def scheduling(torchserve: FakeTorchServe) -> AsyncIterator[Scheduler]:
    url = torchserve.url
    async with TorchServeClient(url, url, url, KeyFile(torchserve.key_file)) as client:
        if "echo" not in torchserve.models:
            await client.register("echo.mar", "echo")
        await client.scale("echo", 1, 1)
        async with opened(client) as dispatcher:
            yield Scheduler({"echo": Lane(dispatcher)})


async def ask(
    scheduler: Scheduler, parameters: dict[str, Any], traceparent: str | None, name: str | None
) -> list[Reply | SidecarError]:
    REQUEST_ID.set(name)
    return await scheduler.run(
        InferenceRequest(
            "echo",
            [b"7"],
            0,
            5.0,
            time.monotonic(),
            traceparent=traceparent,
            parameters=[parameters],
        )
    )


def sendable(parameters: dict[str, Any], *texts: str | None) -> bool:
    try:
        msgspec.json.encode([parameters, *texts])
    except Exception:  # noqa: BLE001 - whatever the encoder raises
        return False
    return True


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(others=st.lists(anything, min_size=1, max_size=3))
async def test_every_good_entry_is_answered_whatever_is_beside_it(
    torchserve: FakeTorchServe, others: list[tuple[dict[str, Any], str | None, str | None]]
) -> None:
    async with scheduling(torchserve) as scheduler:
        good, *rest = await asyncio.gather(
            ask(scheduler, {"voice": "a"}, None, "good"),
            *(ask(scheduler, *each) for each in others),
        )
    assert isinstance(good[0], Reply)
    assert good[0].body == b"7"
    for each, (outcome,) in zip(others, rest, strict=True):
        assert isinstance(outcome, Reply if sendable(*each) else InternalError)


async def test_the_log_tells_of_the_entry_that_was_refused_and_of_no_other(
    torchserve: FakeTorchServe, caplog: pytest.LogCaptureFixture
) -> None:
    async with scheduling(torchserve) as scheduler:
        with caplog.at_level(logging.ERROR):
            good, bad = await asyncio.gather(
                ask(scheduler, {}, None, "good"), ask(scheduler, {}, "\udcff\udcfe", "bad")
            )
    assert isinstance(good[0], Reply)
    assert isinstance(bad[0], InternalError)
    (record,) = caplog.records
    assert record.getMessage() == "echo: an input cannot be put into a job: UnicodeEncodeError"
    assert vars(record)["request_id"] == "bad"
