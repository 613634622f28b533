"""What /metrics tells: its names and units, and what moves them."""

import asyncio
import subprocess
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from handler_kit.wav import write_wav
from tests.fake_torchserve import FakeTorchServe, Refuse, Spoken
from tests.meta.tables import metric_descriptions
from tests.needs import need_program
from tests.sidecar.conftest import CATALOG, ECHO, Client, StartSidecar
from tests.sidecar.models.test_sleep_and_wake import admin
from tests.sidecar.openai.test_audio import HEARD
from tests.sidecar.routes.test_speech_refusals import FINDING, LISTENING, SPEAKING
from tests.waiting import until_awaited

SECOND = (1000).to_bytes(2, "little") * 24_000
MODELS: dict[str, Any] = CATALOG | {
    "hibari_tts": SPEAKING,
    "whisper_tiny_en": LISTENING,
    "vad": FINDING,
    "kept": ECHO | {"cache": True},
}
Metrics = dict[str, float]


@pytest.fixture
async def client(start: StartSidecar, torchserve: FakeTorchServe) -> Client:
    torchserve.archives |= {f"{key}.mar" for key in MODELS if key != "missing"}
    return await start(catalog=MODELS)


async def scraped(client: Client) -> Metrics:
    """Return all samples, by name and labels."""
    async with client.get("/metrics") as response:
        text = await response.text()
    found: Metrics = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


async def until_scraped(client: Client, condition: Callable[[Metrics], bool]) -> Metrics:
    """Scrape until *condition* holds; return the metrics."""
    return await until_awaited(lambda: scraped(client), condition)


async def predict(client: Client, inputs: Any = (1, 2), **fields: Any) -> int:
    body = {"model_name": "echo", "inputs": inputs} | fields
    async with client.post("/predict", json=body, headers={"X-Request-ID": "mine"}) as response:
        await response.read()
        return response.status


async def test_names_and_units_are_as_prometheus_wants_them(client: Client) -> None:
    promtool = need_program("promtool")
    assert await predict(client) == 200
    async with client.get("/metrics") as response:
        text = await response.read()
    done = await asyncio.to_thread(
        subprocess.run, [promtool, "check", "metrics"], input=text, capture_output=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


async def test_every_metric_is_documented_and_is_there(client: Client) -> None:
    async with client.get("/metrics") as response:
        text = await response.text()
    scraped = {
        f"{family.name}_total" if family.type == "counter" else family.name: family.type
        for family in text_string_to_metric_families(text)
        if not family.name.startswith("process_")
    }
    assert scraped == {each.name: each.kind for each in metric_descriptions()}


async def test_requests_of_any_size_and_id_are_queued_and_run(
    client: Client, torchserve: FakeTorchServe
) -> None:
    torchserve.hold()
    asked = [asyncio.create_task(predict(client, [[1, 2]] * 3, priority=5))]
    await until_scraped(client, lambda now: now["sidecar_requests_running{model=echo}"] == 1)
    asked += [asyncio.create_task(predict(client, [[1, 2]] * 3)) for _ in range(4)]
    now = await until_scraped(
        client,
        lambda now: (
            now["sidecar_requests_waiting{model=echo}"]
            + now["sidecar_requests_running{model=echo}"]
            == 5
        ),
    )
    assert now["sidecar_requests_waiting{model=echo}"] >= 1
    assert now["sidecar_queued{model=echo}"] + now["sidecar_in_flight{model=echo}"] == 15
    assert now["sidecar_requests_waiting{model=other}"] == 0
    torchserve.release()
    assert set(await asyncio.gather(*asked)) == {200}
    now = await scraped(client)
    assert now["sidecar_requests_waiting{model=echo}"] == 0
    assert now["sidecar_requests_running{model=echo}"] == 0


async def test_a_job_is_counted_for_the_version_that_answers(client: Client) -> None:
    assert await predict(client) == 200
    now = await scraped(client)
    assert now["sidecar_torchserve_seconds_count{model=echo,version=1.0}"] == 1
    assert now["sidecar_model_info{device=cpu,model=echo,precision=fp32,version=1.0}"] == 1
    assert any(name.startswith("sidecar_build_info{version=") for name in now)


async def test_loads_wakes_and_sleeps_are_counted_and_timed(client: Client) -> None:
    name = "sidecar_model_operation_seconds_count{{model={},operation={}}}"
    assert (await scraped(client))[name.format("echo", "load")] == 1
    assert await predict(client, model_name="other") == 200
    now = await scraped(client)
    assert now[name.format("other", "wake")] == 1
    assert now["sidecar_model_operation_seconds_sum{model=other,operation=wake}"] > 0
    assert now["sidecar_model_state{model=other,state=ready}"] == 1
    assert now[name.format("other", "sleep")] == 0
    asked = {"action": "zero_scale", "models": ["other"]}
    async with client.post("/autoscaler/scale", json=asked, headers=admin()) as response:
        assert response.status == 200, await response.text()
    now = await until_scraped(client, lambda now: now[name.format("other", "sleep")] == 1)
    assert now["sidecar_model_state{model=other,state=ready}"] == 0
    assert now["sidecar_model_state{model=other,state=idle}"] == 1


async def test_lookups_of_results_and_of_pages_are_counted_apart(client: Client) -> None:
    for _ in range(3):
        assert await predict(client, model_name="kept") == 200
    now = await scraped(client)
    assert now["sidecar_cache_hits_total{cache=results}"] == 2
    assert now["sidecar_cache_misses_total{cache=results}"] == 1
    assert now["sidecar_cache_misses_total{cache=pages}"] == 0


async def test_a_failed_job_is_counted_once_and_its_inputs_by_their_errors(
    client: Client, torchserve: FakeTorchServe
) -> None:
    torchserve.wrong_bytes = b"no answer to a job"
    assert await predict(client, [[1], [2]]) == 500
    torchserve.wrong_bytes = None
    now = await scraped(client)
    assert now["sidecar_jobs_failed_total{model=echo,reason=malformed}"] == 1
    assert now["sidecar_inputs_failed_total{model=echo,reason=InternalError}"] == 2
    torchserve.refusals = [(507, "out of memory")] * 2
    assert await predict(client) == 503
    now = await scraped(client)
    assert now["sidecar_jobs_failed_total{model=echo,reason=refused}"] == 2
    assert now["sidecar_inputs_failed_total{model=echo,reason=OutOfMemory}"] == 1


async def test_an_input_that_its_sender_got_wrong_is_no_failure(
    client: Client, torchserve: FakeTorchServe
) -> None:
    def refuse(_: Any) -> Any:
        raise Refuse(400, "not that")

    before, torchserve.answer = await scraped(client), refuse
    assert await predict(client) == 400
    now = await scraped(client)
    failed = [name for name in now if name.startswith("sidecar_inputs_failed_total")]
    assert failed
    assert [now[name] for name in failed] == [before[name] for name in failed]


async def test_a_client_that_leaves_is_counted(client: Client, torchserve: FakeTorchServe) -> None:
    name = "sidecar_requests_abandoned_total{route=/predict}"
    torchserve.hold()
    asked = asyncio.create_task(predict(client))
    await until_scraped(client, lambda now: now["sidecar_in_flight{model=echo}"] == 1)
    assert (await scraped(client))[name] == 0
    asked.cancel()
    await until_scraped(client, lambda now: now[name] == 1)


async def test_a_speech_stream_records_first_audio_duration_and_factor(
    client: Client, torchserve: FakeTorchServe
) -> None:
    torchserve.answer = lambda _: Spoken(SECOND)
    body = {"text": "First this. Then that.", "enable_streaming": True}
    async with client.post("/synthesize", json=body) as response:
        assert response.status == 200
        await response.read()
    now = await scraped(client)
    assert now["sidecar_audio_synthesized_seconds_total{model=hibari_tts}"] == 2
    assert now["sidecar_time_to_first_audio_seconds_count{model=hibari_tts}"] == 1
    assert now["sidecar_real_time_factor_count{model=hibari_tts}"] == 1
    assert now["sidecar_real_time_factor_sum{model=hibari_tts}"] > 0
    async with client.post("/synthesize", json=body | {"enable_streaming": False}) as response:
        assert response.status == 200
    now = await scraped(client)
    assert now["sidecar_audio_synthesized_seconds_total{model=hibari_tts}"] == 4
    assert now["sidecar_time_to_first_audio_seconds_count{model=hibari_tts}"] == 1


async def test_the_audio_counter_includes_silence(
    client: Client, torchserve: FakeTorchServe
) -> None:
    torchserve.answer = lambda _: HEARD
    form = aiohttp.FormData()
    form.add_field("file", write_wav(bytes(2 * 16_000 * 3), 16_000), filename="three.wav")
    async with client.post("/transcribe", data=form) as response:
        assert response.status == 200, await response.text()
    now = await scraped(client)
    assert now["sidecar_audio_transcribed_seconds_total{model=whisper_tiny_en}"] == 3
    assert now["sidecar_real_time_factor_count{model=whisper_tiny_en}"] == 1


async def test_the_room_on_the_disks_is_told(client: Client) -> None:
    now = await scraped(client)
    for folder in ("models", "state", "temporary"):
        size = now[f"sidecar_disk_size_bytes{{folder={folder}}}"]
        assert 0 < now[f"sidecar_disk_free_bytes{{folder={folder}}}"] <= size


async def test_torchserve_is_down_at_once_when_it_hangs_up(
    client: Client, torchserve: FakeTorchServe
) -> None:
    now = await scraped(client)
    assert (now["sidecar_torchserve_up"], now["sidecar_ready"]) == (1, 1)
    torchserve.away = True
    now = await until_scraped(client, lambda now: now["sidecar_torchserve_up"] == 0)
    assert now["sidecar_ready"] == 0
