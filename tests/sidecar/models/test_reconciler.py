"""What is decided for one model, and what the decisions bring about."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sidecar.models.reconciler import Known, Observed, Step, decide
from sidecar.models.states import (
    GATES,
    LOADED,
    STARTING,
    TRANSITIONS,
    Gate,
    State,
)
from sidecar.torchserve.client import ModelState, WorkerState
from tests.sidecar.conftest import CATALOG, ECHO, StartSidecar
from tests.sidecar.models.test_sleep_and_wake import model_of, services_of, until_state

READY = WorkerState("9000", "READY", 1)
DEAD = WorkerState("9000", "UNLOADING", 1)


def known(state: State, **facts: Any) -> Known:
    usual = {"wanted": True, "at_work": False, "needs_wake": False, "retry_due": True}
    return Known(state=state, **{**usual, **facts})


def reported(*workers: WorkerState, least: int = 1, batch_size: int = 1) -> Observed:
    return Observed(reported=ModelState("echo", "1.0", least, 1, batch_size, [*workers]))


NOT_THERE = Observed()
ASLEEP = reported(least=0)
FOREIGN = reported(READY, batch_size=8)


@pytest.mark.parametrize(
    ("model", "seen", "step"),
    [
        (known(State.ARCHIVED), NOT_THERE, Step.LOAD),
        (known(State.ARCHIVED), ASLEEP, Step.LOAD),
        (known(State.ARCHIVED), FOREIGN, Step.LOAD),
        (known(State.ARCHIVED), reported(READY), Step.TAKE_OVER),
        (known(State.ARCHIVED, wanted=False), NOT_THERE, Step.NOTHING),
        (known(State.ARCHIVED, wanted=False, needs_wake=True), NOT_THERE, Step.WAKE),
        (known(State.AVAILABLE), NOT_THERE, Step.LOAD),
        (known(State.AVAILABLE, retry_due=False), NOT_THERE, Step.NOTHING),
        (known(State.AVAILABLE, wanted=False), NOT_THERE, Step.NOTHING),
        (known(State.AVAILABLE, wanted=False), Observed(has_archive=True), Step.FIND_ARCHIVE),
        (known(State.DOWNLOADING), Observed(has_archive=True), Step.NOTHING),
        (known(State.LOADING), reported(READY), Step.TAKE_OVER),
        (known(State.LOADING), reported(DEAD), Step.LOAD),
        (known(State.LOADING, at_work=True), reported(READY), Step.NOTHING),
        (known(State.WAKING), NOT_THERE, Step.LOAD),
        (known(State.READY), reported(READY), Step.TAKE_OVER),
        (known(State.READY), reported(DEAD), Step.TAKE_OVER),
        (known(State.READY), ASLEEP, Step.NOTE_SLEEP),
        (known(State.READY), NOT_THERE, Step.LOAD),
        (known(State.READY), Observed(archive_changed=True), Step.REPLACE),
        (known(State.RESTARTING), reported(READY), Step.TAKE_OVER),
        (known(State.RESTARTING), reported(DEAD), Step.TAKE_OVER),
        (known(State.RESTARTING), NOT_THERE, Step.LOAD),
        (known(State.IDLE), ASLEEP, Step.NOTHING),
        (known(State.IDLE), NOT_THERE, Step.NOTHING),
        (known(State.IDLE, needs_wake=True), ASLEEP, Step.WAKE),
        (known(State.IDLE, needs_wake=True, at_work=True), ASLEEP, Step.NOTHING),
        (known(State.FAILED), reported(READY), Step.LOAD),
        (known(State.FAILED, retry_due=False), reported(READY), Step.NOTHING),
        (known(State.DISABLED, wanted=False), NOT_THERE, Step.NOTHING),
        (known(State.REMOVING), reported(READY), Step.NOTHING),
        (known(State.REMOVED), reported(READY), Step.NOTHING),
    ],
)
def test_decide_returns_the_next_step(model: Known, seen: Observed, step: Step) -> None:
    assert decide(model, seen) is step


def test_every_state_has_a_gate_and_only_removed_is_final() -> None:
    assert GATES.keys() == TRANSITIONS.keys() == set(State)
    assert {state for state in State if GATES[state] is Gate.OPEN} == {State.READY}
    assert {state for state in State if not TRANSITIONS[state]} == {State.REMOVED}
    assert all(State.REMOVED in TRANSITIONS[state] for state in set(State) - {State.REMOVED})
    assert {each for followers in TRANSITIONS.values() for each in followers} == set(State) - {
        State.DISABLED
    }


def test_the_sets_of_states_agree_with_what_clients_see() -> None:
    assert {state for state in State if state.shown == "loading"} == STARTING
    assert {state for state in State if state.shown == "ready"} == LOADED


async def test_an_archive_that_somebody_builds_is_found(
    start: StartSidecar, tmp_path: Path
) -> None:
    optional = ECHO | {"auto_load": False, "optional": True}
    client = await start(catalog=CATALOG | {"other": optional}, model_store=tmp_path)
    assert model_of(client, "other").state is State.AVAILABLE
    assert (await client.post("/predict", json={"model_name": "other", "inputs": 1})).status == 404
    await asyncio.to_thread((tmp_path / "other.mar").write_bytes, b"an archive")
    await until_state("archived", client, "other")
    assert (await client.post("/predict", json={"model_name": "other", "inputs": 1})).status == 200


async def test_every_step_of_a_model_is_in_the_history(start: StartSidecar) -> None:
    client = await start()
    services = services_of(client)
    services.operations.put_to_sleep(model_of(client), "to see it")
    await until_state("idle", client)
    steps = [(each.before, each.after, each.reason) for each in services.history.transitions]
    assert steps == [
        (State.ARCHIVED, State.LOADING, "it is wanted"),
        (State.LOADING, State.READY, "it is wanted"),
        (State.READY, State.PAUSED, "to see it"),
        (State.PAUSED, State.IDLE, "to see it"),
    ]
