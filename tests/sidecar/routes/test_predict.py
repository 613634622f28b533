"""POST /predict, decision by decision of contract.md."""

import asyncio
from typing import Any

import pytest

from sidecar.errors import ModelNotReady
from sidecar.program import PROGRAM
from tests.fake_torchserve import FakeTorchServe, Refuse
from tests.sidecar.conftest import Client, StartSidecar
from tests.waiting import until, until_awaited


async def ask(client: Client, status: int = 200, **fields: Any) -> Any:
    body = {"model_name": "echo", "inputs": [1, 2, 3]} | fields
    response = await client.post("/predict", json=body)
    answer = await response.json()
    assert response.status == status, answer
    return answer


async def test_a_single_input_gets_its_result_and_the_whole_contract(client: Client) -> None:
    answer = await ask(client)
    assert answer.pop("processing_time") > 0
    assert answer == {
        "success": True,
        "result": [1, 2, 3],
        "model_info": {
            "model": "echo",
            "device": "cpu",
            "input_type": "single",
            "input_count": 1,
            "version": "1.0",
            "processing_path": "optimized",
        },
        "batch_info": {
            "inflight_batching_enabled": True,
            "processed_as_batch": False,
            "concurrent_optimization": False,
        },
    }


async def test_a_batch_gets_a_result_for_each_input_in_order(client: Client) -> None:
    answer = await ask(client, inputs=[[1], [2], [3]])
    assert answer["result"] == [[1], [2], [3]]
    assert answer["model_info"]["input_type"] == "batch"
    assert answer["model_info"]["input_count"] == 3
    assert answer["batch_info"]["processed_as_batch"] is True
    assert answer["batch_info"]["concurrent_optimization"] is False


async def test_a_batch_over_several_jobs_says_so(client: Client) -> None:
    answer = await ask(client, inputs=[[number] for number in range(20)])
    assert answer["result"] == [[number] for number in range(20)]
    assert answer["batch_info"]["concurrent_optimization"] is True


async def test_batching_off_runs_each_input_alone(
    client: Client, torchserve: FakeTorchServe
) -> None:
    answer = await ask(client, inputs=["a", "b"], enable_batching=False)
    assert answer["model_info"]["processing_path"] == "direct"
    assert answer["batch_info"]["inflight_batching_enabled"] is False
    assert torchserve.jobs == [["a"], ["b"]]


@pytest.mark.parametrize("name", ["echo", "ECHO", "the-echo", "the_echo", "tests/Echo"])
async def test_a_model_answers_to_all_its_names_by_the_name_used(client: Client, name: str) -> None:
    assert (await ask(client, model_name=name))["model_info"]["model"] == name


@pytest.mark.parametrize("inputs", [7, -1.5, True, "text", {"a": [1]}, "naïve 😀", [1.5, 2]])
async def test_every_kind_of_single_input_passes_unchanged(client: Client, inputs: Any) -> None:
    assert (await ask(client, inputs=inputs))["result"] == inputs


async def test_one_bad_input_of_a_batch_has_its_error_in_its_place(
    client: Client, torchserve: FakeTorchServe
) -> None:
    def answer(value: Any) -> Any:
        if value == "bad":
            raise Refuse(400, "bad is bad")
        return value

    torchserve.answer = answer
    got = await ask(client, inputs=["a", "bad", "c"])
    assert got["result"] == ["a", {"error": "bad is bad"}, "c"]
    assert got["batch_info"]["failed_count"] == 1
    refused = await ask(client, 400, inputs=["bad", "bad"])
    assert refused["detail"] == "inputs: bad is bad"
    refused = await ask(client, 400, inputs="bad")
    assert refused["error"] == "The model cannot take this input"


async def test_an_exception_inside_the_model_leaks_nothing(
    client: Client, torchserve: FakeTorchServe
) -> None:
    def answer(_: Any) -> Any:
        raise Refuse(500, "Traceback: secret path")

    torchserve.answer = answer
    assert await ask(client, 500) == {
        "success": False,
        "error": "Internal server error",
        "detail": "Internal Server Error",
        "status_code": 500,
    }


async def test_an_unknown_model_is_404_in_the_form_of_the_contract(
    client: Client,
) -> None:
    answer = await ask(client, 404, model_name="unknown_model")
    assert answer["error"] == (
        "Model 'unknown_model' is not available. Check models.json configuration."
    )
    assert answer["model_info"] == {"model": "unknown_model", "available": False}
    assert answer["status_code"] == 404


async def test_a_disabled_model_is_never_answered_by_another(client: Client) -> None:
    answer = await ask(client, 404, model_name="disabled")
    assert answer["model_info"]["state"] == "disabled"


async def test_a_model_that_is_not_loaded_is_loaded_for_the_first_request(client: Client) -> None:
    assert (await ask(client, model_name="other"))["result"] == [1, 2, 3]


async def test_a_model_without_an_archive_says_how_to_get_it(client: Client) -> None:
    await ask(client, 503, model_name="missing")
    body = {"model_name": "missing", "inputs": 1}
    response = await until_awaited(
        lambda: client.post("/predict", json=body), lambda response: response.status == 404
    )
    answer = await response.json()
    assert answer["model_info"] == {"model": "missing", "available": False, "state": "available"}
    assert "scripts/build_archives missing" in answer["detail"]


async def test_a_timeout_is_504_with_the_time_that_passed(
    client: Client, torchserve: FakeTorchServe
) -> None:
    torchserve.hold()
    answer = await ask(client, 504, timeout=0.05)
    assert answer["error"] == "Request timed out"
    assert answer["processing_time"] >= 0.05


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"priority": 11}, "priority"),
        ({"priority": -1}, "priority"),
        ({"priority": "5"}, "priority"),
        ({"priority": True}, "priority"),
        ({"priority": 1.5}, "priority"),
        ({"priority": None}, "priority"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": "30"}, "timeout"),
        ({"timeout": 300.1}, "timeout"),
        ({"enable_batching": 1}, "enable_batching"),
        ({"model_name": ""}, "model_name"),
        ({"model_name": 7}, "model_name"),
        ({"token": 7}, "token"),
        ({"colour": "red"}, "colour"),
        ({"inputs": None}, "inputs"),
        ({"inputs": []}, "inputs"),
        ({"inputs": [1, "a"]}, "inputs"),
    ],
)
async def test_a_wrong_field_is_named(client: Client, fields: dict[str, Any], named: str) -> None:
    answer = await ask(client, 422, **fields)
    assert answer["detail"].startswith(f"{named}: ")


@pytest.mark.parametrize("missing", ["model_name", "inputs"])
async def test_a_missing_field_is_named(client: Client, missing: str) -> None:
    body = {"model_name": "echo", "inputs": 1}
    del body[missing]
    response = await client.post("/predict", json=body)
    assert response.status == 422
    assert (await response.json())["detail"].startswith(f"{missing}: ")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"not json", 400),
        (b'{"model_name": "echo", "inputs": NaN}', 400),
        (b'{"model_name": "echo", "inputs": 1, "timeout": NaN}', 400),
        (b'{"model_name": "\xff"}', 400),
        (b'{"priority": 99, "inputs": [', 400),
        (b"[" * 100_000, 400),
        (b"[1]", 422),
        (b"null", 422),
    ],
)
async def test_invalid_json_is_400_and_other_values_than_objects_422(
    client: Client, body: bytes, status: int
) -> None:
    response = await client.post("/predict", data=body)
    assert response.status == status
    assert (await response.json())["status_code"] == status


async def test_json_is_read_whatever_the_content_type_says(client: Client) -> None:
    body = b'{"model_name": "echo", "inputs": 1}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", "image/png"):
        response = await client.post("/predict", data=body, headers={"Content-Type": kind})
        assert response.status == 200


async def test_a_body_over_the_limit_is_413(start: StartSidecar) -> None:
    client = await start(max_body_mb=0.01)
    answer = await ask(client, 413, inputs="x" * 20_000)
    assert answer["detail"] == "body: at most 0.01 MB"


async def test_more_inputs_than_allowed_are_refused(start: StartSidecar) -> None:
    client = await start(max_inputs=3)
    answer = await ask(client, 422, inputs=[[1]] * 4)
    assert answer["detail"] == "inputs: at most 3 inputs in one request"


async def test_a_full_queue_answers_503_at_once_with_retry_after(
    client: Client, torchserve: FakeTorchServe
) -> None:
    torchserve.hold()
    body = {"model_name": "echo", "inputs": [[1]] * 8}
    waiting = [asyncio.create_task(client.post("/predict", json=body))]
    await until(lambda: torchserve.jobs)
    waiting += [asyncio.create_task(client.post("/predict", json=body)) for _ in range(8)]
    assert client.app is not None
    models = client.app[PROGRAM].models
    await until(lambda: models.queued >= 64)
    response = await client.post("/predict", json=body)
    assert response.status == 503
    assert int(response.headers["Retry-After"]) >= 1
    assert (await response.json())["error"] == "The queue is full"
    torchserve.release()
    assert {each.status for each in await asyncio.gather(*waiting)} == {200}


async def test_a_leaving_client_drops_its_queued_inputs(
    client: Client, torchserve: FakeTorchServe
) -> None:
    torchserve.hold()
    first = asyncio.create_task(ask(client, inputs="first"))
    await until(lambda: torchserve.jobs)
    left = asyncio.create_task(ask(client, inputs="left"))
    assert client.app is not None
    models = client.app[PROGRAM].models
    await until(lambda: models.queued)
    left.cancel()
    await until(lambda: not models.queued)
    torchserve.release()
    await first
    await ask(client, inputs="next")
    assert torchserve.jobs == [["first"], ["next"]]


async def test_predictions_are_503_with_retry_after_while_torchserve_is_away(
    client: Client, torchserve: FakeTorchServe
) -> None:
    await torchserve.stop()
    response = await client.post("/predict", json={"model_name": "echo", "inputs": 1})
    assert response.status == 503
    assert "Retry-After" in response.headers
    for path in ("/", "/info", "/config"):
        assert (await client.get(path)).status == 200


async def test_a_new_key_of_torchserve_is_read_and_no_client_sees_it(
    client: Client, torchserve: FakeTorchServe
) -> None:
    torchserve.inference_key = "a new key"
    torchserve.write_keys()
    await ask(client)


def test_an_unready_model_answers_with_retry_after() -> None:
    assert ModelNotReady("x", retry_after=5).headers == {"Retry-After": "5"}
