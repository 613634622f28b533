"""A config.properties of TorchServe's is taken over, and every key is answered for."""

import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.catalog.catalog import load_catalog
from sidecar.catalog.torchserve_config import TakenOver, read_properties, take_over
from sidecar.configuration import take_over_config
from sidecar.settings import SettingsError, load_effective
from tests.sidecar.catalog.test_own_archives import as_mar, files

BASE = "max_request_size=1000\njob_queue_size=1024\nvmargs=-Xmx1g\n# a comment\n"
SNAPSHOT = {
    "name": "startup.cfg",
    "modelCount": 1,
    "models": {
        "snapped": {
            "1.0": {"defaultVersion": False, "marName": "plain.mar", "minWorkers": 1},
            "2.0": {
                "defaultVersion": True,
                "marName": "batched.mar",
                "minWorkers": 2,
                "maxWorkers": 4,
                "batchSize": 16,
                "maxBatchDelay": 20,
            },
        }
    },
}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    store = tmp_path / "store"
    store.mkdir()
    as_mar(store / "plain.mar", files("plain"))
    as_mar(store / "batched.mar", files("batched", config={"batchSize": 4, "mine": 1}))
    return store


def taken(tmp_path: Path, store: Path, text: str, **environ: str) -> TakenOver:
    path = tmp_path / "theirs.properties"
    path.write_text(text)
    return take_over(path, store, BASE, environ=environ)


def inference(over: TakenOver, name: str) -> Any:
    return over.entries[name]["inference"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1\nb: 2\nc 3\nd", {"a": "1", "b": "2", "c": "3", "d": ""}),
        ("# no\n! no\n  a = 1  ", {"a": "1  "}),
        ('a={\\\n   "b": 1\\\n   }\nc=2', {"a": '{"b": 1}', "c": "2"}),
        ("a\\:b=c\\u0041\\n\\\\", {"a:b": "cA\n\\"}),
        ("a=1\\", {"a": "1"}),
    ],
)
def test_properties_are_read_as_java_reads_them(text: str, expected: dict[str, str]) -> None:
    assert read_properties(text) == expected


def test_models_that_it_loads_become_entries(tmp_path: Path, store: Path) -> None:
    models = {"other": {"1.0": {"marName": "batched.mar", "batchSize": 9, "maxBatchDelay": 30}}}
    over = taken(
        tmp_path,
        store,
        f"load_models=plain.mar,other=batched.mar\nmodels={json.dumps(models)}\n"
        "default_workers_per_model=3\njob_queue_size=50",
    )
    assert set(over.entries) == {"plain", "other"}
    assert all(entry["auto_load"] for entry in over.entries.values())
    assert inference(over, "plain") == {"queue_size": 50, "workers": {"min": 3, "max": 3}}
    # The archive says its batch size itself, and that beats config.properties in TorchServe too.
    assert "batch_size" not in inference(over, "other")
    assert inference(over, "other")["batch_delay_ms"] == 30


def test_all_means_every_archive_but_those_that_this_program_built(
    tmp_path: Path, store: Path
) -> None:
    as_mar(store / "built.mar", files("built", build__json=b"{}"))
    assert set(taken(tmp_path, store, "load_models=ALL").entries) == {"plain", "batched"}


def test_the_default_timeouts_are_those_of_models_that_have_none(
    tmp_path: Path, store: Path
) -> None:
    as_mar(store / "slow.mar", files("slow", config={"responseTimeout": 900}))
    over = taken(
        tmp_path, store, "load_models=all\ndefault_response_timeout=600\ndefault_startup_timeout=30"
    )
    assert inference(over, "plain")["job_timeout_seconds"] == 600
    assert inference(over, "plain")["startup_timeout_seconds"] == 30
    assert "job_timeout_seconds" not in inference(over, "slow")


def test_of_several_versions_the_first_is_the_default_and_of_all_the_newest(
    tmp_path: Path, store: Path
) -> None:
    as_mar(store / "a.mar", files("twice", version="1.9"))
    as_mar(store / "b.mar", files("twice", version="1.10"))
    of_all, listed = (
        taken(tmp_path, store, f"load_models={wanted}") for wanted in ("all", "a.mar,b.mar")
    )
    assert of_all.entries["twice"]["archive"] == "b.mar"
    assert listed.entries["twice"]["archive"] == "a.mar"
    assert "load_models: twice: version 1.10, b.mar, is loaded when it is asked for" in listed.lines


def test_relative_paths_start_at_the_file(tmp_path: Path, store: Path) -> None:
    (tmp_path / "metrics.yaml").touch()
    over = taken(tmp_path, Path("elsewhere"), "model_store=store\nmetrics_config=metrics.yaml")
    assert over.settings["model_store"] == store
    assert over.properties == {"metrics_config": str(tmp_path / "metrics.yaml")}
    over = taken(tmp_path, store, "metrics_config=nowhere.yaml")
    assert over.lines == [f"metrics_config: left out: {tmp_path}/nowhere.yaml: no such file"]


def test_values_hold_variables(tmp_path: Path, store: Path) -> None:
    text = "model_store=$$STORE$$\nvmargs=-Xmx$$MORE$$g -Xms$$MORE$$g"
    over = taken(tmp_path, Path("elsewhere"), text, STORE=str(store), MORE="2")
    assert over.settings["model_store"] == store
    assert over.properties == {"vmargs": "-Xmx2g -Xms2g"}
    with pytest.raises(SettingsError, match="vmargs: the variable MORE is not set"):
        taken(tmp_path, store, text, STORE=str(store))


def test_torchserves_variables_count_if_the_file_says_so(tmp_path: Path, store: Path) -> None:
    variables = {"TS_LOAD_MODELS": "plain.mar", "TS_NUMBER_OF_GPU": "2", "TS_MODELS": "{"}
    text = "load_models=all\nnumber_of_gpu=1\nenable_envvars_config="
    over = taken(tmp_path, store, f"{text}true", **variables)
    assert set(over.entries) == {"plain"}
    assert over.properties["number_of_gpu"] == "2"
    assert "TS_LOAD_MODELS: counts before load_models in the file" in over.lines
    over = taken(tmp_path, store, f"{text}false", **variables)
    assert set(over.entries) == {"plain", "batched"}
    assert over.properties["number_of_gpu"] == "1"


def test_a_file_in_latin_1_is_read_as_java_reads_it(tmp_path: Path, store: Path) -> None:
    path = tmp_path / "theirs.properties"
    path.write_bytes("# für alle\nnumber_of_gpu=1".encode("latin-1"))
    assert take_over(path, store, BASE).properties == {"number_of_gpu": "1"}


def test_torchserves_options_do_without_a_file_and_count_before_it(
    tmp_path: Path, store: Path
) -> None:
    given = {"model_store": str(store), "load_models": "mine=plain.mar"}
    over = take_over(None, Path("elsewhere"), BASE, given)
    assert (over.settings["model_store"], set(over.entries)) == (store, {"mine"})
    path = tmp_path / "theirs.properties"
    path.write_text("load_models=all")
    assert set(take_over(path, store, BASE, given).entries) == {"mine"}


def test_a_snapshot_says_what_is_loaded(tmp_path: Path, store: Path) -> None:
    over = taken(tmp_path, store, f"model_snapshot={json.dumps(SNAPSHOT)}\nload_models=all")
    assert set(over.entries) == {"snapped"}
    assert over.entries["snapped"]["archive"] == "batched.mar"
    assert inference(over, "snapped")["workers"] == {"min": 2, "max": 4}
    assert any("other versions" in line for line in over.lines)


@pytest.mark.parametrize("file", ["http://elsewhere/x.mar", "../x.mar", "missing.mar"])
def test_unloadable_models_are_reported(tmp_path: Path, store: Path, file: str) -> None:
    over = taken(tmp_path, store, f"load_models={file}")
    assert not over.entries
    assert over.lines[0].startswith(f"load_models: {file}: left out, ")


def test_limits_are_never_below_what_our_own_jobs_need(tmp_path: Path, store: Path) -> None:
    over = taken(tmp_path, store, "max_request_size=10\nmax_response_size=10485760")
    assert over.properties == {"max_request_size": "1000", "max_response_size": "10485760"}
    assert over.settings["max_body_mb"] == 1.0


@pytest.mark.parametrize(
    "key",
    [
        "inference_address",
        "grpc_inference_port",
        "disable_token_authorization",
        "enable_model_api",
        "allowed_urls",
        "keystore",
        "cors_allowed_origin",
        "metrics_mode",
        "workflow_store",
        "a_key_of_nobody",
    ],
)
def test_reserved_keys_are_left_out_with_a_reason(tmp_path: Path, store: Path, key: str) -> None:
    over = taken(tmp_path, store, f"{key}=x")
    assert not over.properties
    (line,) = over.lines
    assert line.startswith(f"{key}: left out: ")


def test_every_key_of_the_file_has_a_line(tmp_path: Path, store: Path) -> None:
    text = (
        f"model_store={store}\nload_models=none\nvmargs=-Xmx2g\nnumber_of_gpu=1\n"
        'models={"plain": {}}\nservice_envelope=kserve'
    )
    said = {line.partition(":")[0] for line in taken(tmp_path, store, text).lines}
    assert said == set(read_properties(text))


@pytest.mark.parametrize("text", ["models={", "job_queue_size=many", "model_snapshot=[]"])
def test_a_value_that_is_none_stops_the_start(tmp_path: Path, store: Path, text: str) -> None:
    with pytest.raises(SettingsError, match=text.partition("=")[0]):
        taken(tmp_path, store, text)


def test_the_program_starts_with_both_files_that_are_written(tmp_path: Path, store: Path) -> None:
    (tmp_path / "ours.properties").write_text(BASE)
    theirs = tmp_path / "theirs.properties"
    theirs.write_text(f"model_store={store}\nload_models=all\nvmargs=-Xmx3g")
    environ = {
        "SIDECAR_STATE_DIR": str(tmp_path / "var"),
        "SIDECAR_TORCHSERVE_CONFIG": str(tmp_path / "ours.properties"),
        "SIDECAR_TORCHSERVE": "managed",
    }
    effective = load_effective(environ)
    del environ["SIDECAR_TORCHSERVE_CONFIG"]
    said: list[str] = []
    kept = take_over_config(effective, theirs, said.append, keep=True)
    assert "torchserve_config is as environment says" in said[-1]
    settings = kept.settings
    assert settings.model_store == store
    catalog = load_catalog(settings.models_file, store=settings.model_store)
    assert set(catalog.auto_load()) == {"plain", "batched"}
    written = read_properties(settings.models_file.with_name("config.properties").read_text())
    assert written == read_properties(BASE) | {"vmargs": "-Xmx3g"}


def test_a_check_writes_nothing(tmp_path: Path, store: Path) -> None:
    theirs = tmp_path / "theirs.properties"
    theirs.write_text(f"model_store={store}")
    effective = load_effective(
        {"SIDECAR_STATE_DIR": str(tmp_path / "var")}, {"torchserve": "managed"}
    )
    take_over_config(effective, theirs, lambda _: None, keep=False)
    assert not (tmp_path / "var").exists()


def test_ts_config_needs_a_managed_torchserve(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="managed"):
        take_over_config(load_effective({}), tmp_path / "x", print, keep=False)


def test_the_lines_are_for_people(tmp_path: Path, store: Path) -> None:
    lines = taken(tmp_path, store, "vmargs=-Xmx1g\nnumber_of_gpu=2").lines
    assert lines == ["vmargs: taken over: -Xmx1g", "number_of_gpu: taken over: 2"]
