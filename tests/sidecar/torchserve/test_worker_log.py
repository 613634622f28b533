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


def death(key: str, traceback: str, worker: int = 9000) -> str:
    """What a worker prints that dies of an exception which TorchServe does not foresee."""
    lines = ["Backend worker process died.", *traceback.splitlines()]
    text = "".join(LINE.format(key=key, text=line) for line in lines)
    return text.replace("W-9000", f"W-{worker}")


def traceback_of(raised: str) -> str:
    where = '  File "a.py", line 1, in f\n    x = (\n        ^'
    return f"Traceback (most recent call last):\n{where}\n{raised}"


IN_LOAD = """\
Traceback (most recent call last):
  File "/tmp/models/4d/handler.py", line 2, in <module>
    import spacy.lang
ModuleNotFoundError: No module named 'spacy'"""
AMONG_ITS_OWN = """

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/site-packages/ts/model_loader.py", line 107, in load
    module = self._load_default_handler(handler)
ModuleNotFoundError: No module named 'ts.torch_handler.handler'"""


@pytest.mark.parametrize(
    ("traceback", "reason"),
    [
        (IN_LOAD + AMONG_ITS_OWN, "No module named 'spacy'"),
        (IN_LOAD, "No module named 'spacy'"),
        (traceback_of("SyntaxError: '(' was never closed"), "SyntaxError: '(' was never closed"),
        (traceback_of("KeyError: 'a'"), "KeyError: 'a'"),
        (
            traceback_of("FileNotFoundError: [Errno 2] No such file: '/tmp/ts/vocab.txt'"),
            "[Errno 2] No such file: 'vocab.txt'",
        ),
    ],
)
def test_the_cause_of_a_workers_death_is_the_reason(
    tmp_path: Path, traceback: str, reason: str
) -> None:
    path = tmp_path / "workers.log"
    other = death("other", IN_LOAD.replace("spacy", "nltk"))
    path.write_text(other + death("net", traceback) + death("net_2", "| nothing"))
    assert WorkerLog(path).find_reason("net", 0) == reason


def test_lines_of_two_workers_may_come_mixed(tmp_path: Path) -> None:
    path = tmp_path / "workers.log"
    both = zip(
        death("net", IN_LOAD).splitlines(keepends=True),
        death("net", IN_LOAD, worker=9001).splitlines(keepends=True),
        strict=True,
    )
    path.write_text("".join(line for pair in both for line in pair))
    assert WorkerLog(path).find_reason("net", 0) == "No module named 'spacy'"


def test_exceptions_of_torchserve_do_not_hide_the_reason(tmp_path: Path) -> None:
    raised = traceback_of("RuntimeError: 500 - Unknown exception")
    path = tmp_path / "workers.log"
    path.write_text(failure("net", "size mismatch") + death("net", raised))
    assert WorkerLog(path).find_reason("net", 0) == "size mismatch"


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
