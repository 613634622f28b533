"""Why a model could not be loaded, out of the log of TorchServe's workers."""

from pathlib import Path

import pytest

from sidecar.torchserve.worker_log import MOST_CHARACTERS, WorkerLog, shown

LINE = "2026-11-26T05:31:06.316Z [INFO ] W-9000-{key}_1.0-stdout - {text}\n"


def failure(key: str, reason: str) -> str:
    traceback = LINE.format(key=key, text="| handler_kit.errors.LoadError: and so on")
    failed = f"Failed to load model {key}, exception {reason}"
    return LINE.format(key=key, text=failed) + traceback


def test_the_last_reason_of_this_model_behind_the_mark_is_found(tmp_path: Path) -> None:
    path = tmp_path / "workers.log"
    path.write_text(failure("net", "an old one"))
    log = WorkerLog(path)
    mark = log.end()
    with path.open("a") as file:
        file.write(failure("net", "the first try"))
        file.write(failure("net", "my_net has no model class MyNett"))
        file.write(failure("net_2", "another model's"))
    assert log.find_reason("net", mark) == "my_net has no model class MyNett"


def test_a_log_that_began_anew_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "workers.log"
    path.write_text("x" * 10_000)
    log = WorkerLog(path)
    mark = log.end()
    path.write_text(failure("net", "no weights"))
    assert log.find_reason("net", mark) == "no weights"


def test_the_log_of_torchserves_own_layout_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "model_log.log"
    own = failure("net", "no weights").replace("-stdout - ", "-stdout MODEL_LOG - ")
    path.write_text(own)
    assert WorkerLog(path).find_reason("net", 0) == "no weights"


@pytest.mark.parametrize("there", [True, False])
def test_a_log_that_says_nothing_gives_no_reason(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "workers.log"
    if there:
        path.write_text(LINE.format(key="net", text="Killed"))
    assert WorkerLog(path).find_reason("net", 0) is None
    assert WorkerLog(None).find_reason("net", 0) is None


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (r"Error(s) in loading:\n\tsize mismatch", "Error(s) in loading: size mismatch"),
        (
            "No such file: '/tmp/ts/models/4d/model.safetensors'",
            "No such file: 'model.safetensors'",
        ),
        ("see https://example.org/a/b", "see https://example.org/a/b"),
        ("n/a", "n/a"),
    ],
)
def test_a_reason_is_one_line_without_folders_of_the_machine(reason: str, told: str) -> None:
    assert shown(reason) == told


def test_a_reason_has_a_bounded_length() -> None:
    assert len(shown("x" * 10_000)) == MOST_CHARACTERS + 1
